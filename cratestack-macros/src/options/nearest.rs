/// The candidate that `word` most likely meant, where one is near enough to be worth naming.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let (distance, candidate) = candidates.iter().map(|candidate| (distance(&word, candidate), *candidate)).min()?;
    (distance <= candidate.len().div_ceil(3)).then_some(candidate)
}

/// Levenshtein's edit distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut cost = i + 1;
        for (slot, to) in row.iter_mut().skip(1).zip(&right) {
            let (above, beside) = (*slot, cost);
            cost = (diagonal + usize::from(from != *to)).min(above + 1).min(beside + 1);
            diagonal = above;
            *slot = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_edits() {
        assert_eq!(distance("ttl", "ttl"), 0);
        assert_eq!(distance("", "ttl"), 3);
        assert_eq!(distance("leese", "lease"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn names_only_what_is_near() {
        let options = ["ttl", "lease", "optional"];
        assert_eq!(nearest("tll", &options), Some("ttl"));
        assert_eq!(nearest("TTL", &options), Some("ttl"));
        assert_eq!(nearest("leese", &options), Some("lease"));
        assert_eq!(nearest("optionnal", &options), Some("optional"));
        assert_eq!(nearest("retries", &options), None);
    }
}
