use std::collections::HashSet;

use super::*;

#[test]
fn different_parts_never_meet() {
    let digests = [
        digest("key", "a"),
        digest("key", &("a",)),
        digest("key", &("a", "bc")),
        digest("key", &("ab", "c")),
        digest("key", &("abc", "")),
        digest("key", "abc"),
        digest("key", ""),
        digest("key", &None::<&str>),
        digest("key", &Some("")),
        digest("key", &Some(Some(""))),
        digest("key", &["a", "bc"][..]),
        digest("key", &[["a"], ["bc"]]),
        digest("key", &1),
        digest("key", &-1),
        digest("key", "1"),
        digest("key", &'1'),
        digest("key", &true),
        digest("key", &false),
        digest("key", &0),
        digest("key", &u128::MAX),
        digest("key", &i128::MIN),
        digest("key", &Uuid::nil()),
        digest("key", &((1, 2), 3)),
        digest("key", &(1, (2, 3))),
        digest("key", &(1, 2, 3)),
        digest("principal", "a"),
    ];
    assert_eq!(digests.iter().collect::<HashSet<_>>().len(), digests.len());
}

#[test]
fn one_value_is_one_part_however_it_is_held() {
    let a = digest("key", "a");
    assert_eq!(digest("key", &"a"), a);
    assert_eq!(digest("key", &"a".to_owned()), a);
    assert_eq!(digest("key", &Box::new("a")), a);
    assert_eq!(digest("key", &Arc::<str>::from("a")), a);
    assert_eq!(digest("key", &Cow::Borrowed("a")), a);
    let seven = digest("key", &7_u8);
    assert_eq!([digest("key", &7_i64), digest("key", &7_u128), digest("key", &7_isize)], [&seven; 3].map(Clone::clone));
    assert_eq!(digest("key", &vec![1, 2]), digest("key", &[1, 2]));
}

/// A type of a user's that says nothing of its own presence.
struct Account(&'static str, Option<u8>);

impl KeyPart for Account {
    fn feed(&self, hasher: &mut PartHasher) {
        (self.0, self.1).feed(hasher);
    }
}

#[test]
fn what_names_nothing_is_absent() {
    let none: Option<u8> = None;
    let nothing: [&dyn KeyPart; 14] = [
        &"",
        &String::new(),
        &none,
        &Some(""),
        &Some(none),
        &Box::new(""),
        &Arc::<str>::from(""),
        &Cow::Borrowed(""),
        &[""; 0],
        &Vec::<u8>::new(),
        &["", ""],
        &("", none),
        &((none,), vec![""]),
        &Account("", None),
    ];
    for (n, part) in nothing.into_iter().enumerate() {
        assert_eq!(part.presence(), Presence::Absent, "{n}");
    }
    let partial: [&dyn KeyPart; 6] =
        [&("a", ""), &(none, 0), &((1, none), 2), &["a", ""], &Some(("", false)), &Account("a", None)];
    for (n, part) in partial.into_iter().enumerate() {
        assert_eq!(part.presence(), Presence::Partial, "{n}");
    }
    let present: [&dyn KeyPart; 9] =
        [&"a", &0, &false, &'\0', &Uuid::nil(), &Some(0), &("a", 0), &[0_u8], &Account(" ", Some(0))];
    for (n, part) in present.into_iter().enumerate() {
        assert_eq!(part.presence(), Presence::Present, "{n}");
    }
}

/// Rows in databases hold these: they do not change. Computed with Python's `hashlib`.
#[test]
fn digests_are_pinned() {
    assert_eq!(digest("key", &("a", 1, true)), "d061f46b8dbdfda502fdaaf5f55363924e1a615e9880ec0fb2589217ac1c6cea");
}
