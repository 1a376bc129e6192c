use super::Report;
use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::TableName;

#[test]
fn a_report_steers_no_terminal() {
    let name = TableName::new(None, "a\x1b[2J\nb").unwrap();
    let report = Report::new(&name, Dialect::Postgres, &[]).to_string();
    assert!(!report.contains('\x1b') && report.contains("\\u{1b}[2J"), "{report}");
}

#[test]
fn facts_that_make_no_sense_do_no_harm() {
    let rows = ["table", "column", "index", "constraint", "partition", "partitioning", "right", "nonsense"];
    for dialect in Dialect::ALL {
        let mut facts: Vec<_> = rows.map(|kind| Fact::new([Some(kind.to_owned())])).to_vec();
        facts.push(Fact::new([]));
        assert!(!Report::new(&TableName::default(), dialect, &facts).is_clean());
    }
}
