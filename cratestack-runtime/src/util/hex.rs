use super::ShortText;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| hex_digits(*byte)).map(char::from).collect()
}

/// The digits of a digest, held without an allocation.
pub(crate) fn hex_of_digest(digest: [u8; 32]) -> ShortText {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&hex_digits(byte));
    }
    // Hexadecimal digits are ASCII.
    ShortText::from(str::from_utf8(&digits).unwrap_or_default())
}

pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lower_case_and_padded() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0x00, 0x0a, 0xff]), "000aff");
        let digest: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 8).unwrap());
        assert_eq!(&*hex_of_digest(digest), hex(&digest));
    }
}
