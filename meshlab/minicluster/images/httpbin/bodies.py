"""Bodies that go-httpbin makes: documents of our own in place of its assets, and small images drawn here."""

from __future__ import annotations

import base64
import struct
import zlib

HTML = """<!DOCTYPE html>
<html>
  <head>
  </head>
  <body>
      <h1>The Relay Keeper</h1>
      <div>
        <p>
          Every evening the keeper of the relay station read the lamps along the valley, wrote what they said into her
          book, and lit her own lamp with the same words, so that nobody further down could tell how far the news had
          travelled. Only the book knew: it held the hour, the sender, and how often a lamp had to be asked twice.
        </p>
      </div>
  </body>
</html>
"""
XML = """<?xml version='1.0' encoding='us-ascii'?>

<!--  A SAMPLE set of slides  -->

<slideshow
    title="Sample Slide Show"
    date="Date of publication"
    author="Yours Truly"
    >
    <slide type="all">
      <title>Services that talk</title>
    </slide>
    <slide type="all">
        <title>Overview</title>
        <item>Why a <em>mesh</em> helps</item>
        <item/>
        <item>Who <em>runs</em> one</item>
    </slide>
</slideshow>
"""
SLIDESHOW = {
    "slideshow": {
        "author": "Yours Truly",
        "date": "date of publication",
        "slides": [
            {"title": "Wake up to WonderWidgets!", "type": "all"},
            {
                "items": ["Why <em>WonderWidgets</em> are great", "Who <em>buys</em> WonderWidgets"],
                "title": "Overview",
                "type": "all",
            },
        ],
        "title": "Sample Slide Show",
    }
}
UTF8 = """<h1>Unicode Demo</h1>
<pre>
Mathematics: ∮ E⋅da = Q,  n → ∞, ∑ f(i) = ∏ g(i), ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋
Greek:       Σὲ γνωρίζω ἀπὸ τὴν κόψη
Russian:     Зарегистрируйтесь сейчас
Japanese:    いろはにほへとちりぬるを
Box drawing: ╔══╦══╗  ┌──┬──┐  ╭──┬──╮
Boats:       ⛵ ⚓ 🕸
</pre>
"""
INDEX = """<!DOCTYPE html>
<html>
  <head><meta charset="utf-8"><title>go-httpbin(1): HTTP Client Testing Service</title></head>
  <body>
    <h1>go-httpbin(1): HTTP Client Testing Service</h1>
    <ul>
{links}
    </ul>
  </body>
</html>
"""
FORM = """<!DOCTYPE html>
<html>
  <head></head>
  <body>
    <form method="post" action="/post">
      <p><label>Customer name: <input name="custname"></label></p>
      <p><label>Telephone: <input type="tel" name="custtel"></label></p>
      <p><label>Comments: <textarea name="comments"></textarea></label></p>
      <p><button>Submit order</button></p>
    </form>
  </body>
</html>
"""
ROBOTS = "User-agent: *\nDisallow: /deny\n"
DENY = "YOU SHOULDN'T BE HERE"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100" viewBox="0 0 100 100">
<rect width="100" height="100" fill="#466bb0"/>
<path d="M20 80 L50 20 L80 80 Z" fill="none" stroke="#fff" stroke-width="6"/>
</svg>
"""
# A 1x1 grey baseline JPEG: the smallest that decoders take.
_JPEG = (
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////"
    "////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxA="
)


def png(width: int = 64, height: int = 64) -> bytes:
    """A gradient as a PNG (ISO/IEC 15948)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + b"".join(bytes((70, 107 * x // width, 176 * y // height)) for x in range(width)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def image(kind: str) -> tuple[bytes, str] | None:
    """An image and its content type; None for a kind that is not made here."""
    match kind:
        case "png":
            return png(), "image/png"
        case "jpeg":
            return base64.b64decode(_JPEG), "image/jpeg"
        case "svg":
            return SVG.encode(), "image/svg+xml"
    return None
