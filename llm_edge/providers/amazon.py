"""
AWS's errors: a code in a header, and a sentence.

The code is a class's name and mostly says no more than the status does; inside a stream it is all there is.
"""

from __future__ import annotations

import re
from typing import Final

from ..message import Headers

STATUS: Final = {
    "validationexception": 400,
    "accessdeniedexception": 403,
    "unrecognizedclientexception": 403,
    "invalidsignatureexception": 403,
    "expiredtokenexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "internalserverexception": 500,
    "internalfailure": 500,
    "serviceunavailableexception": 503,
}
"""The status of each code, in lower case, for errors that come inside a stream."""

NO_SUCH_MODEL: Final = re.compile(
    r"provided model identifier is invalid"
    r"|on-demand throughput isn.t supported"
    r"|reached the end of its life"
)
"""What a ValidationException says of a model that cannot be asked here, or not by this name; lower case."""

_CODE = "x-amzn-errortype"


def error_word(headers: Headers) -> str:
    """The error's code in lower case; empty when the answer is not AWS's."""
    # `ThrottlingException:http://internal.amazon.com/…`
    return headers.get(_CODE, "").partition(":")[0].rpartition("#")[2].strip().lower()
