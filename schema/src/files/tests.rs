use super::{Format, MigrationError, Numbering, slug};
use crate::ddl::Layout;
use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::IDEMPOTENCY;

const NUMBERING: Numbering = Numbering { unix_seconds: 1_767_225_600, next: 3 };

fn paths(format: Format, from: u32) -> Vec<String> {
    let files = Layout::default().files(Dialect::Postgres, format, from, IDEMPOTENCY.latest(), NUMBERING).unwrap();
    files.into_iter().map(|file| file.path).collect()
}

#[test]
fn files_are_named_as_the_tools_expect() {
    assert_eq!(paths(Format::Refinery, 0), ["V3__cratestack_idempotency_v3.sql"]);
    assert_eq!(
        paths(Format::Flyway, 1),
        ["V20260101000000__cratestack_idempotency_v3.sql", "U20260101000000__cratestack_idempotency_v3.sql"]
    );
    assert_eq!(
        paths(Format::Diesel, 1),
        [
            "2026-01-01-000000_cratestack_idempotency_v3/up.sql",
            "2026-01-01-000000_cratestack_idempotency_v3/down.sql",
            "2026-01-01-000001_cratestack_idempotency_v3_index/up.sql",
            "2026-01-01-000001_cratestack_idempotency_v3_index/down.sql",
            "2026-01-01-000001_cratestack_idempotency_v3_index/metadata.toml",
        ]
    );
    assert_eq!(
        paths(Format::Dbmate, 1),
        ["20260101000000_cratestack_idempotency_v3.sql", "20260101000001_cratestack_idempotency_v3_index.sql"]
    );
}

#[test]
fn every_upgrade_bounds_its_wait_and_only_the_index_is_outside_a_transaction() {
    for format in Format::ALL {
        let files = Layout::default().files(Dialect::Postgres, format, 1, IDEMPOTENCY.latest(), NUMBERING).unwrap();
        for file in files.iter().filter(|file| file.path.ends_with("sql")) {
            let concurrent = file.path.contains("_index");
            assert_ne!(concurrent, file.contents.contains("lock_timeout"), "{}", file.path);
            if concurrent && format == Format::Sqlx {
                assert!(file.contents.starts_with("-- no-transaction\n"));
            }
        }
        assert_eq!(files.iter().any(|file| file.contents.contains("CONCURRENTLY")), format.runs_outside_transactions());
    }
}

#[test]
fn no_name_leaves_its_line() {
    let name = TableName::new(None, "a\n-- migrate:down\nDROP TABLE x; ${y}").unwrap();
    let layout = Layout::new(name);
    for format in Format::ALL {
        let files = layout.files(Dialect::Postgres, format, 0, 1, NUMBERING);
        if format == Format::Dbmate {
            assert_eq!(files, Err(MigrationError::Name(format)));
            continue;
        }
        for file in files.unwrap() {
            assert!(!file.path.contains('\n'));
            for comment in file.contents.lines().filter(|line| line.starts_with("-- ") && !line.contains("migrate")) {
                assert!(!comment.contains("DROP"), "{comment}");
            }
        }
    }
    let files = layout.files(Dialect::Postgres, Format::Flyway, 0, 1, NUMBERING).unwrap();
    assert!(files[1].path.ends_with(".sql.conf") && files[1].contents.contains("placeholderReplacement=false"));
}

#[test]
fn versions_that_lead_nowhere_are_refused() {
    for (from, to) in [(2, 2), (2, 1), (0, 0), (0, 9), (9, 10)] {
        assert!(Layout::default().files(Dialect::Sqlite, Format::Plain, from, to, NUMBERING).is_err(), "{from} {to}");
    }
}

#[test]
fn slugs_are_plain_words() {
    assert_eq!(slug("Idempotency Keys"), "idempotency_keys");
    assert_eq!(slug("../../etc/passwd"), "etc_passwd");
    assert_eq!(slug("表"), "idempotency");
}

#[test]
fn every_tool_s_files_tell_their_version_and_no_others_do() {
    for name in [TableName::default(), TableName::new(Some("a b"), "Keys (1)").unwrap()] {
        let layout = Layout::new(name);
        for (format, from) in Format::ALL.into_iter().flat_map(|format| [(format, 0), (format, 1)]) {
            for dialect in Dialect::ALL {
                let files = layout.files(dialect, format, from, 2, NUMBERING).unwrap();
                let versions: Vec<_> =
                    files.iter().filter_map(|file| layout.version_of(&file.path, &file.contents)).collect();
                assert_eq!(versions, [2], "{format} from {from}");
                assert!(files.iter().all(|file| {
                    Layout::new(TableName::new(None, "other").unwrap()).version_of(&file.path, &file.contents).is_none()
                }));
            }
        }
    }
    let layout = Layout::default();
    let text = "CREATE TABLE IF NOT EXISTS cratestack_idempotency (";
    assert_eq!(layout.version_of("V7__cratestack_idempotency_v1.sql", text), Some(1));
    for other in ["V7__my_cratestack_idempotency_v1.sql", "cratestack_idempotency_v1.down.sql", "x.sql", "_v1.sql", ""]
    {
        assert_eq!(layout.version_of(other, text), None, "{other}");
    }
    assert_eq!(layout.version_of("cratestack_idempotency_v1.sql", "CREATE TABLE cratestack_idempotency_2 ("), None);
}
