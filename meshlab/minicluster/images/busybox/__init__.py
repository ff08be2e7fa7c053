"""BusyBox's own programs, where a host's would not know the lab's network: wget, nc, nslookup, telnet, httpd.

Their options, texts and exit codes are BusyBox 1.37's. The rest of BusyBox (sh, ls, grep ...) is the host's.
"""
