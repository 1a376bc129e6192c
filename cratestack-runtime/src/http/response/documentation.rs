/// Whether an address can stand in a `type` member and a `Link` header.
///
/// Only the characters of a URI (RFC 3986, 2), so that it cannot leave its angle brackets; and no `#`, since the code
/// of each problem becomes its fragment. A relative reference such as `/docs/idempotency` will do (RFC 9457, 3.1.1).
pub(crate) fn valid_documentation(address: &str) -> bool {
    let mut rest = address.as_bytes();
    while let Some((&byte, left)) = rest.split_first() {
        rest = match (byte, left) {
            (b'%', [high, low, left @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => left,
            (b'%', _) => return false,
            _ if byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=".contains(&byte) => left,
            _ => return false,
        };
    }
    !address.is_empty()
}

#[cfg(test)]
mod tests {
    use super::valid_documentation;

    #[test]
    fn documentation_addresses() {
        for address in
            ["https://docs.example/idempotency", "https://[::1]:8080/a?b=c&d", "/docs/%C3%BC", "urn:example:x"]
        {
            assert!(valid_documentation(address), "{address}");
        }
        for address in
            ["", " ", "a b", "a>b", "<a", "a\"b", "a\\b", "a\nb", "a\u{7f}", "ü", "a#b", "%", "%4", "%zz", "a|b", "{a}"]
        {
            assert!(!valid_documentation(address), "{address}");
        }
    }
}
