//! The headers of a recorded response, as `cratestack-runtime` encodes them: a count, then for each the length and the
//! bytes of its name and of its value. Numbers are four bytes, the least first.

/// `None` of a blob that is damaged.
pub fn decode(blob: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = blob;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let count = number(&mut rest)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let mut text = || {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        headers.push((text()?, text()?));
    }
    rest.is_empty().then_some(headers)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn a_damaged_blob_is_none_and_takes_no_memory() {
        let whole = [&[1, 0, 0, 0, 1, 0, 0, 0][..], b"a", &[2, 0, 0, 0], b"bc"].concat();
        assert_eq!(decode(&whole), Some(vec![("a".to_owned(), "bc".to_owned())]));
        assert_eq!(decode(&[]), Some(Vec::new()));
        for end in 1..whole.len() {
            assert_eq!(decode(&whole[..end]), None);
        }
        assert_eq!(decode(&[0xff; 12]), None);
        assert_eq!(decode(&[whole, vec![0]].concat()), None);
    }
}
