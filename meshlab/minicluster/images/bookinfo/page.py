"""Bookinfo's HTML: what people and upstream's tests look for on the page, without style sheets from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

STARS = 5
STYLE = (
    "body{font-family:sans-serif;margin:2em auto;max-width:60em}nav,section{margin:1em 0}"
    "[class$=-star]:before{content:'\\2605'}[class$=-empty]:before{content:'\\2606'}"
    "blockquote{border-left:4px solid #ddd;padding-left:1em}dt{font-weight:bold}"
)
SIGN_IN = """<form method="post" action="login" name="login_form">
<input type="text" name="username" id="username" placeholder="User Name">
<input type="password" name="passwd" placeholder="Password">
<button type="submit">Sign in</button>
</form>"""


def index() -> str:
    """The front page: which services there are."""
    rows = "".join(f"<tr><th>{name}</th><td>http://{name}:9080</td></tr>" for name in ("details", "reviews", "ratings"))
    return _document(
        "<h3>Hello! This is a simple bookstore application consisting of three services as shown below</h3>\n"
        f'<table border="1">{rows}</table>\n'
        "<h4>Click on one of the links below to auto generate a request to the backend as a real user or a tester"
        "</h4>\n"
        '<p><a href="/productpage?u=normal">Normal user</a></p>\n<p><a href="/productpage?u=test">Test user</a></p>'
    )


def product_page(product: Mapping[str, Any], details: tuple[int, Any], reviews: tuple[int, Any], user: str) -> str:
    """The product page.

    Args:
        product: the book; its description is HTML.
        details: status and JSON of the details service.
        reviews: status and JSON of the reviews service.
        user: who is signed in, if anybody.
    """
    signed_in = f'<span>{escape(user)} (<a href="logout">sign out</a>)</span>' if user else SIGN_IN
    return _document(
        f'<nav><a href="#">BookInfo Sample</a> {signed_in}</nav>\n'
        f'<section><h3 class="text-center text-primary">{escape(product["title"])}</h3>\n'
        f"<p>Summary: {product['descriptionHtml']}</p></section>\n"
        f"<section>{_details(*details)}</section>\n<section>{_reviews(*reviews)}</section>"
    )


def _details(status: int, details: Any) -> str:
    if status != 200:
        return _failed("Error fetching product details!", details)
    facts = (
        ("Type", "type"),
        ("Pages", "pages"),
        ("Publisher", "publisher"),
        ("Language", "language"),
        ("ISBN-10", "ISBN-10"),
        ("ISBN-13", "ISBN-13"),
    )
    lines = "\n".join(f"<dt>{name}:</dt>{escape(str(details.get(key, '')))}" for name, key in facts)
    return f'<h4 class="text-center text-primary">Book Details</h4>\n<dl>\n{lines}\n</dl>'


def _reviews(status: int, reviews: Any) -> str:
    if status != 200:
        return _failed("Error fetching product reviews!", reviews)
    quotes = "\n".join(_quote(review) for review in reviews.get("reviews", ()))
    served = f"<dl>\n<dt>Reviews served by:</dt>\n<u>{escape(str(reviews.get('podname', '')))}</u>\n</dl>"
    return f'<h4 class="text-center text-primary">Book Reviews</h4>\n{quotes}\n{served}'


def _quote(review: Mapping[str, Any]) -> str:
    text = f"<p>{escape(review['text'])}</p>\n<small>{escape(review['reviewer'])}</small>"
    return f"<blockquote>\n{text}\n{_rating(review.get('rating') or {})}</blockquote>"


def _rating(rating: Mapping[str, Any]) -> str:
    if rating.get("stars"):
        stars = min(int(rating["stars"]), STARS)
        spans = _spans("glyphicon-star", stars, "full stars:") + _spans(
            "glyphicon-star-empty", STARS - stars, "empty stars:"
        )
        color = escape(str(rating["color"]))
        return f'<font color="{color}">\n{"".join(spans)}</font>\n'
    return f"<p><i>{escape(rating['error'])}</i></p>\n" if rating.get("error") else ""


def _spans(icon: str, count: int, comment: str) -> list[str]:
    return [f"<!-- {comment} -->\n", *([f'<span class="glyphicon {icon}"></span>\n'] * count)]


def _failed(title: str, answer: Any) -> str:
    message = f"\n<p>{escape(answer['error'])}</p>" if answer else ""
    return f'<h4 class="text-center text-primary">{title}</h4>{message}'


def _document(body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<title>Simple Bookstore App</title>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1.0">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
