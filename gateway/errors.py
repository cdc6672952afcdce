"""Every failure a caller may see, with its HTTP status and Cloudflare code; knows nothing of HTTP itself."""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """A failure with a status, a code and a text that is safe to show to a caller.

    Subclasses are found by name when a failure crosses a process boundary, so names are unique.
    `title` is the `<name>` of the message grammar `AiError: <name>: <detail> (<request id>)`; a class
    without a title speaks for the router in front of the models: its message is the bare detail.
    """

    status: ClassVar[int] = 500
    code: ClassVar[int] = 3001
    title: ClassVar[str | None] = "Internal error"
    default: ClassVar[str] = "Internal error"
    should_retry: bool | None = None
    retry_after_s: float | None = None

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail if detail is not None else self.default
        super().__init__(self.detail)

    def fresh(self) -> GatewayError:
        """The same failure to raise once more: an exception raised twice keeps both tracebacks alive."""
        error = revive(type(self).__name__, self.detail)
        error.should_retry, error.retry_after_s = self.should_retry, self.retry_after_s
        return error

    def message(self, request_id: str) -> str:
        """The text of `errors[0].message` (grammar observed on the live service)."""
        if self.title is None:
            return self.detail
        return f"AiError: {self.title}: {self.detail} ({request_id})"


class RouterError(GatewayError):
    """A failure before any model was reached: `result` is null and the message stands alone."""

    title = None


class NoRoute(RouterError):
    """The path leads nowhere."""

    status, code, default = 404, 7000, "No route for that URI"


class MethodNotAllowed(RouterError):
    """The path exists under another method."""

    status, code = 405, 7001

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} not supported for requested URI.")


class InvalidAccount(RouterError):
    """The account id is not 32 hexadecimal digits."""

    status, code = 404, 7003

    def __init__(self, path: str) -> None:
        super().__init__(f"Could not route to {path}, perhaps your object identifier is invalid?")


class MissingCredentials(RouterError):
    """No credential header was sent."""

    status, code = 400, 9106
    default = "Missing X-Auth-Key, X-Auth-Email or Authorization headers"


class InvalidCredentialHeader(RouterError):
    """A credential header was sent that cannot be read."""

    status, code, default = 400, 6003, "Invalid request headers"
    chain: ClassVar[tuple[int, str]] = (6111, "Invalid format for Authorization header")


class AuthenticationFailed(RouterError):
    """The credential is unknown, or belongs to another account."""

    status, code, default = 401, 10000, "Authentication error"


class PermissionMissing(RouterError):
    """The credential is good, but not for this: the live service's words for a token without the permission."""

    status, code, default = 403, 10000, "Authentication error"


class ModelNotFound(GatewayError):
    """No row and no alias has that name."""

    status, code, title = 400, 5007, "No such model"

    def __init__(self, name: str) -> None:
        super().__init__(f"No such model {name[:200]} or task")


class BadInput(GatewayError):
    """The input does not fit the task's schema; the detail names the field and the bound."""

    status, code, title = 400, 5006, "Bad input"

    def message(self, request_id: str) -> str:
        """Schema failures carry an extra `Error:` on the live service."""
        return f"AiError: Bad input: Error: {self.detail} ({request_id})"


class BadBase64(GatewayError):
    """A base64 field holds something else."""

    status, code, title = 400, 5004, "Invalid data type for base64 input"
    default = "string"


class MissingBody(GatewayError):
    """A model was called without an input."""

    status, code, title = 400, 3003, "Bad request"
    default = "the request has no body"


class RequestTooLarge(GatewayError):
    """The body is larger than the task allows."""

    status, code, title = 413, 3006, "Request too large"


class Unnamed(GatewayError):
    """A failure in front of whose detail the live service puts no name."""

    def message(self, request_id: str) -> str:
        """The detail alone, between the parts that every message has."""
        return f"AiError: {self.detail} ({request_id})"


class CostExceeded(GatewayError):
    """What the request would take is more than its caller may ask for at once."""

    status, code, title = 413, 3006, "Request too large"

    def __init__(self, detail: str | None = None, *, unit: str = "", estimate: int = 0, most: int = 0) -> None:
        super().__init__(detail or f"estimated at {estimate} {unit}, of which one request may take at most {most}")


class InputTooLong(Unnamed):
    """One text is longer than the model's context and may not be truncated."""

    status, code, title = 400, 3030, "Bad input"


class FlaggedContent(Unnamed):
    """The model's own safety checker has flagged the picture."""

    status, code, title = 400, 3030, "NSFW"
    default = "the generated image was flagged as NSFW content"


class ContextExceeded(GatewayError):
    """Prompt and requested output do not fit the context window."""

    status, code, title = 413, 5021, "Bad input"

    def __init__(self, detail: str | None = None, *, wanted: int = 0, limit: int = 0) -> None:
        super().__init__(
            detail
            or f"The estimated number of input and maximum output tokens ({wanted}) exceeded "
            f"this model context window limit ({limit})"
        )


class AnthropicUnsupported(Unnamed):
    """A model of this gateway was asked in the form of Anthropic's Messages API."""

    status, code, title = 400, 5006, "Bad input"

    def __init__(self, name: str) -> None:
        super().__init__(f'Anthropic Messages API is not supported for model "{name}"')


class LoraUnsupported(GatewayError):
    """The model has no such fine-tune."""

    status, code, title = 405, 5005, "Bad request"


class InvalidParameter(GatewayError):
    """A value that the schema allows and no model understands."""

    status, code, title, default = 400, 8001, "Invalid input", "Invalid input"


class JsonModeFailed(GatewayError):
    """The answer is not the JSON that the caller asked for: it was cut short, or the model cannot give it."""

    status, code, title, default = 400, 5024, "JSON Mode couldn't be met", "the answer is not complete JSON"


class JsonStreamRefused(GatewayError):
    """JSON mode and streaming together, where the operator wants the service's own refusals."""

    status, code, title, default = 400, 5023, "JSON Mode", "JSON Schema is not supported together with stream"


class JsonModeUnsupported(GatewayError):
    """A schema for a model that cannot be held to one."""

    status, code, title, default = 400, 5025, "JSON Mode", "This model doesn't support JSON Schema."


class Overloaded(GatewayError):
    """The queue is full, or the caller asked to be refused rather than queued."""

    status, code, title = 429, 3040, "Capacity"
    default = "Capacity temporarily exceeded, please try again."


class RateLimited(GatewayError):
    """The key has asked for as much as it may within a minute; it may again after `retry_after_s`."""

    status, code, title = 429, 3021, "rate limiting"
    default = "inference request per min rate reached"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class RequestTimeout(GatewayError):
    """The request's time ran out before its answer was there."""

    status, code, title, default = 408, 3046, "Timeout", "Request timeout"


class RequestAborted(GatewayError):
    """The caller went away."""

    status, code, title, default = 408, 3008, "Aborted", "Request was aborted"


class ModelUnavailable(GatewayError):
    """The model cannot be served now: weights absent, load failed, or shutting down."""

    status, code, title = 503, 3050, "Model unavailable"
    should_retry = False


class WorkerLost(GatewayError):
    """The process that ran the request ended before it answered."""

    status, code, title = 500, 3043, "Internal server error"
    default = "the model's process ended while it ran this request"


class InferenceFailed(GatewayError):
    """The engine raised on this input; the log has the traceback."""

    status, code, title = 500, 3043, "Internal server error"
    default = "the model failed on this input"
    should_retry = False


class InternalError(GatewayError):
    """A bug: the log has the traceback, the caller a fixed text."""


def _subclasses(cls: type[GatewayError]) -> dict[str, type[GatewayError]]:
    found = {cls.__name__: cls}
    for child in cls.__subclasses__():
        found |= _subclasses(child)
    return found


def revive(kind: str, detail: str) -> GatewayError:
    """The error that another process described as `kind` and `detail`; an unknown kind is `InternalError`."""
    cls = _subclasses(GatewayError).get(kind, InternalError)
    error = cls.__new__(cls)
    # Some classes build their detail from other arguments; here it is already built.
    GatewayError.__init__(error, detail if cls is not InternalError else None)
    return error
