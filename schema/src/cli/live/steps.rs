//! The steps that a run has recorded, as `cratestack-runtime` appends them to its row; see
//! [`TableName::steps`](cratestack_schema::TableName::steps). Their values are nobody's but the run's.

/// The names of the steps, in order; of those with one name the first counts. `None` of a blob that is damaged.
pub fn names(mut entries: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !entries.is_empty() {
        let name = String::from_utf8_lossy(part(&mut entries)?).into_owned();
        part(&mut entries)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

fn part<'a>(entries: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = entries.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *entries = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_come_in_order_and_a_damaged_blob_is_none() {
        let step = |name: &[u8], value: &[u8]| {
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
            [&length(name)[..], name, &length(value)[..], value].concat()
        };
        let whole = [step(b"charge", b"1"), step(b"ship", b""), step(b"charge", b"2")].concat();
        assert_eq!(names(&whole), Some(vec!["charge".to_owned(), "ship".to_owned()]));
        assert_eq!(names(&[]), Some(Vec::new()));
        for end in [1, 4, 9, 10, 14, whole.len() - 1] {
            assert_eq!(names(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(names(&[255; 64]), None);
    }
}
