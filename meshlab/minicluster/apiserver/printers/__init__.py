"""Server-side tables: what ``kubectl get`` prints.

A printer turns one object into one row; `PRINTERS` in each module is a table from storage key to columns and row
function, so that another kind is another entry. Columns and cells follow ``pkg/printers/internalversion`` upstream.
"""

from meshlab.minicluster.apiserver.printers.durations import age, human_duration
from meshlab.minicluster.apiserver.printers.table import table

__all__ = ["age", "human_duration", "table"]
