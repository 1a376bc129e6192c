/// The most characters that a key may have, counted after unescaping so that both spellings have the same bound.
pub(super) const MAX_KEY_CHARS: usize = 255;

/// Why a key was refused.
///
/// The texts go to the client, who must learn the fix from them. None of them repeats the value: a key is the client's
/// secret as much as it is its name, and an answer may end up in someone's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("The Idempotency-Key header was sent more than once. Send it once, with one key.")]
    Repeated,
    #[error(
        "The Idempotency-Key header is empty or blank. Send a key that is unique to this request, such as a random \
         UUID."
    )]
    Empty,
    #[error(
        "The idempotency key is longer than {} characters. Send a shorter one, such as a random UUID.",
        MAX_KEY_CHARS
    )]
    TooLong,
    #[error(
        "The Idempotency-Key header holds characters outside ASCII. Send a key of printable ASCII characters only."
    )]
    NotAscii,
    #[error(
        "The Idempotency-Key header holds a control character, such as a tab. Send a key of printable ASCII characters \
         only."
    )]
    ControlCharacter,
    #[error(
        "The Idempotency-Key header holds a comma outside a quoted key, which makes it a list. Send exactly one key."
    )]
    List,
    #[error("The quoted key in the Idempotency-Key header does not end. Close it with a double quote.")]
    Unterminated,
    #[error(
        "The quoted key in the Idempotency-Key header has a backslash before something other than a double quote or a \
         backslash. Only these two can be escaped; write everything else as it is."
    )]
    BadEscape,
    #[error(
        "Something follows the quoted key in the Idempotency-Key header. Send nothing after its closing double quote."
    )]
    TrailingCharacters,
    #[error(
        "The parameters after the key in the Idempotency-Key header are not well-formed (RFC 8941, 3.1.2). Leave them \
         out: none of them has a meaning."
    )]
    BadParameters,
    #[error(
        "The unquoted key in the Idempotency-Key header holds a space, a double quote, a semicolon or a backslash. Put \
         the key in double quotes, with a backslash before each double quote and backslash in it."
    )]
    NeedsQuotes,
}
