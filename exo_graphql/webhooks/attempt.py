"""One attempt to deliver a message, and what came of it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from exo_graphql import tls
from exo_graphql.webhooks.webhook import Result

# Seconds for the whole of it. The specification recommends 15 to 30.
TIMEOUT = 15.0


async def attempt(
    client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str], now: datetime
) -> Result:
    """Sends the message once. Redirects are not followed, and the body of the answer is not read. Never raises."""
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            client.stream("POST", url, content=body, headers=headers, follow_redirects=False) as response,
        ):
            return _result(response, now)
    except TimeoutError:
        return Result(f"No answer within {TIMEOUT:g} s.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Result(tls.why_not(error) or _reason(error))


def _result(response: httpx.Response, now: datetime) -> Result:
    status = response.status_code
    if response.is_success:
        return Result(status=status)
    error = f"It answered {status} {response.reason_phrase[:100]}".rstrip() + "."
    if response.is_redirect:
        error += " Redirects are not followed: configure the URL that it leads to."
    retry_after = _seconds(response.headers.get("retry-after", ""), now) if status >= HTTPStatus.BAD_REQUEST else None
    return Result(error, status, retry_after, gone=status == HTTPStatus.GONE)


def _seconds(text: str, now: datetime) -> float | None:
    """The value of Retry-After, seconds or a date; None for what is neither, and for what is over."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:10])
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now).total_seconds()
    return seconds if seconds > 0 else None


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f"It cannot be reached: {cause.strerror}."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "It cannot be reached."
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "It closed the connection without an answer."
    return f"The request failed ({type(error).__name__})."
