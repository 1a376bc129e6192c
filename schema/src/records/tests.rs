use super::{KeyFilter, NamespaceFilter, PrincipalFilter, RecordFilter, RecordState, Removal, StatementValue};
use crate::dialect::Dialect;
use crate::name::TableName;

#[test]
fn each_parameter_stands_in_the_text_and_nothing_else_of_what_was_given() {
    let filter = RecordFilter {
        principal: Some(PrincipalFilter::InAnyNamespace("it's".to_owned())),
        key: Some(KeyFilter::Is("'; DROP TABLE x".to_owned())),
        namespace: NamespaceFilter::Is("a'b".to_owned()),
        states: vec![RecordState::PastLease, RecordState::InFlight],
        lasting_ms: 5,
        contents: true,
    };
    for dialect in Dialect::ALL {
        let statement = TableName::default().records(dialect, &filter, 7);
        assert_eq!(statement.values.len(), 6);
        assert_eq!(statement.values[5], StatementValue::Integer(7));
        for number in 1..=6 {
            let sign = if dialect == Dialect::Postgres { '$' } else { '?' };
            assert_eq!(statement.text.matches(&format!("{sign}{number}")).count(), 1, "{}", statement.text);
        }
        assert!(
            !statement.text.contains("DROP") && !statement.text.contains("it's") && !statement.text.contains("a'b")
        );
    }
}

#[test]
fn what_may_be_removed_is_what_was_said() {
    use RecordState::{Expired, Finished, InFlight, PastLease};
    let states = |unfinished_only, even_if_running| Removal { unfinished_only, even_if_running, token: None }.states();
    assert_eq!(states(true, false), [PastLease]);
    assert_eq!(states(true, true), [InFlight, PastLease]);
    assert_eq!(states(false, false), [PastLease, Finished, Expired]);
    assert_eq!(states(false, true), [InFlight, PastLease, Finished, Expired]);
}
