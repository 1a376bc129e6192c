use super::*;

/// What a server of this version says of itself where nothing is amiss.
fn info(version: &str) -> String {
    format!(
        "# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n# Persistence\r\nloading:0\r\n\
         aof_enabled:1\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\n# Memory\r\nused_memory:1000\r\n\
         maxmemory:0\r\n\
         maxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n# Cluster\r\n\
         cluster_enabled:0\r\n"
    )
}

fn text(text: &str) -> ServerAnswer {
    ServerAnswer::Text(text.to_owned())
}

fn error(text: &str) -> ServerAnswer {
    ServerAnswer::Error(text.to_owned())
}

fn list(words: &[&str]) -> ServerAnswer {
    ServerAnswer::List(words.iter().map(|word| (*word).to_owned()).collect())
}

/// What a server answers to a question where nothing is amiss.
fn well(words: &[String], info: &str) -> ServerAnswer {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["INFO", ..] => text(info),
        ["CONFIG", "GET", "appendfsync"] => list(&["appendfsync", "always"]),
        ["CONFIG", "GET", "save"] => list(&["save", "3600 1"]),
        ["ACL", "WHOAMI"] => text("payments"),
        ["EVALSHA", ..] => error("NOSCRIPT No matching script. Please use EVAL."),
        ["EVAL", ..] => list(&["HSET", "ERR wrong number of arguments for 'hset' command", "SET", "ERR syntax error"]),
        ["CLUSTER" | "SCAN" | "SUBSCRIBE" | "UNSUBSCRIBE" | "SSUBSCRIBE" | "SUNSUBSCRIBE" | "ROLE", ..] => list(&[]),
        _ => text("1"),
    }
}

/// The report on a server whose answers differ from that as `change` says.
fn report_of(needs: ServerNeeds, info: &str, change: impl Fn(&[String]) -> Option<ServerAnswer>) -> ServerReport {
    let prefix = KeyPrefix::new("pay:").unwrap();
    let answer = |words: &Vec<String>| change(words).unwrap_or_else(|| well(words, info));
    let answers = needs.questions(&prefix).iter().map(answer).collect();
    ServerReport::new(&prefix, needs, &[ServerAnswers::new("10.0.0.7:6379", answers)])
}

fn report(needs: ServerNeeds, info: &str) -> ServerReport {
    report_of(needs, info, |_| None)
}

/// What is found where one line of `INFO` is another.
fn with(needs: ServerNeeds, from: &str, to: &str) -> Vec<ServerFinding> {
    let all = info("7.4.1");
    assert!(all.contains(from), "{from}");
    report(needs, &all.replace(from, to)).findings().to_vec()
}

#[test]
fn a_server_that_is_well_is_reported_clean() {
    for needs in [ServerNeeds::single(), ServerNeeds::sentinel(), ServerNeeds::single().synced_to_disk(true)] {
        let report = report(needs, &info("7.4.1"));
        assert_eq!(report.findings(), []);
        assert_eq!(report.to_string(), "10.0.0.7:6379 (Redis 7.4.1) is as this program needs it");
    }
    let cluster = report(ServerNeeds::cluster(), &info("7.4.1").replace("cluster_enabled:0", "cluster_enabled:1"));
    assert!(cluster.is_clean() && cluster.findings().is_empty(), "{cluster}");
}

#[test]
fn versions_are_compared_by_number() {
    for old in ["2.8.24", "5.0.14", "6.0.20"] {
        let found = report(ServerNeeds::single(), &info(old));
        assert!(!found.is_clean());
        assert_eq!(found.findings()[0].kind, ServerFindingKind::Version);
        assert!(found.to_string().contains(&format!("Redis {old} is too old: the store needs Redis 6.2")), "{found}");
    }
    for new in ["6.2.0", "7.0.15", "8.2.1", "10.0.0"] {
        assert!(report(ServerNeeds::single(), &info(new)).findings().is_empty(), "{new}");
    }
    let valkey = info("7.2.4").replace("# Persistence", "server_name:valkey\r\nvalkey_version:8.1.0\r\n# Persistence");
    let found = report(ServerNeeds::single().synced_to_disk(true), &valkey);
    assert_eq!(found.to_string(), "10.0.0.7:6379 (Valkey 8.1.0) is as this program needs it");
    let found = report(ServerNeeds::single().synced_to_disk(true), &info("7.0.15"));
    assert!(!found.is_clean() && found.to_string().contains("WAITAOF"), "{found}");
    let cluster = info("6.2.14").replace("cluster_enabled:0", "cluster_enabled:1");
    let unknown = |words: &[String]| match words[0].as_str() {
        "SSUBSCRIBE" | "SUNSUBSCRIBE" => Some(error("ERR unknown command `SSUBSCRIBE`, with args beginning with: ")),
        "EVAL" => Some(list(&["SPUBLISH", "@user_script: 3: Unknown Redis command called from Lua script"])),
        _ => None,
    };
    let found = report_of(ServerNeeds::cluster(), &cluster, unknown);
    assert!(found.is_clean() && found.findings().len() == 1, "told only: {found}");
    assert!(found.to_string().contains("note: Redis 6.2.14 has no channels of one node"), "{found}");
}

#[test]
fn what_says_nothing_of_itself_is_not_taken_for_clean() {
    for silent in ["", "nonsense", "redis_version", "redis_version:\r\n", "redis_version:x.y\r\n"] {
        let found = report(ServerNeeds::single(), silent);
        assert!(!found.is_clean(), "{silent:?}: {found}");
    }
}

#[test]
fn each_finding_is_told_with_what_mends_it() {
    use ServerFindingKind as Kind;

    let single = ServerNeeds::single();
    let evicting = |policy: &str| format!("maxmemory:2000\r\nmaxmemory_policy:{policy}");
    let unlimited = "maxmemory:0\r\nmaxmemory_policy:noeviction";
    let noeviction = Some("CONFIG SET maxmemory-policy noeviction");
    for (needs, from, to, must_mend, kind, sign, remedy) in [
        (single, unlimited, &*evicting("allkeys-lru"), true, Kind::Eviction, "keys of any are dropped", noeviction),
        (single, unlimited, &evicting("volatile-ttl"), true, Kind::Eviction, "of those that expire, as", noeviction),
        (single, "policy:noeviction", "policy:allkeys-lfu", false, Kind::Eviction, "once a maxmemory is", noeviction),
        (single, "maxmemory:0", "maxmemory:1100", false, Kind::Memory, "1000 of 1100 bytes", None),
        (
            single,
            "aof_enabled:1",
            "aof_enabled:0",
            true,
            Kind::Persistence,
            "snapshots only",
            Some("CONFIG SET appendonly yes"),
        ),
        (single, "write_status:ok", "write_status:err", true, Kind::Persistence, "append-only file failed", None),
        (single, "bgsave_status:ok", "bgsave_status:err", false, Kind::Persistence, "snapshot failed", None),
        (
            single,
            "role:master",
            "role:slave\r\nmaster_host:db1\r\nmaster_port:7000",
            true,
            Kind::Role,
            "db1:7000",
            None,
        ),
        (single, "loading:0", "loading:1", true, Kind::Availability, "loading", None),
        (single, "cluster_enabled:0", "cluster_enabled:1", true, Kind::Topology, "client for a Cluster", None),
        (ServerNeeds::cluster(), "loading:0", "loading:0", true, Kind::Topology, "no node of a Cluster", None),
        (single, "mode:standalone", "mode:sentinel", true, Kind::Topology, "this is a Sentinel", None),
        (
            single.acknowledged_by(1),
            "loading:0",
            "loading:0",
            true,
            Kind::Replication,
            "waits for 1 replicas, and 0 follow",
            None,
        ),
        (
            single.acknowledged_by(2),
            "role:master",
            "role:master\r\nslave0:ip=a,state=online,offset=1\r\nslave1:ip=b,state=wait_bgsave",
            true,
            Kind::Replication,
            "waits for 2 replicas, and 1 follow that have caught up",
            None,
        ),
    ] {
        let found = with(needs, from, to);
        let [finding] = &found[..] else { panic!("{to}: {found:?}") };
        assert_eq!((finding.kind, finding.must_mend), (kind, must_mend), "{finding:?}");
        assert!(finding.text.contains(sign), "{finding:?}");
        assert_eq!(finding.remedy.as_deref(), remedy, "{finding:?}");
    }
    let caught_up = "role:master\r\nslave0:ip=a,state=online,offset=1\r\nslave1:ip=b,state=online,offset=1";
    assert_eq!(with(single.acknowledged_by(2), "role:master", caught_up), []);
}

#[test]
fn how_much_can_be_lost_is_told_by_how_it_is_written() {
    let off = info("7.4.1").replace("aof_enabled:1", "aof_enabled:0");
    let on = info("7.4.1");
    let denied = "NOPERM User payments has no permissions to run the 'config|get' command";
    for (info, fsync, save, clean, signs) in [
        (&on, "always", "", true, vec![]),
        (&on, "everysec", "", true, vec!["note: the append-only file is synced once a second", "appendfsync always"]),
        (&on, "no", "", false, vec!["half a minute", "mend: CONFIG SET appendfsync everysec"]),
        (&on, denied, denied, true, vec!["note: how often the append-only file", "ACL SETUSER payments +config|get"]),
        (&off, "everysec", "", false, vec!["nothing is written to disk", "mend: CONFIG SET appendonly yes"]),
        (&off, "everysec", "60 10", false, vec!["snapshots only", "minutes"]),
        (&off, denied, denied, false, vec!["if it takes any", "note: whether snapshots are taken could not be"]),
        (&on, "ERR unknown command 'CONFIG'", "", true, vec!["note: how often", "unknown command 'CONFIG'"]),
    ] {
        let is_error = |value: &str| value.starts_with("NOPERM") || value.starts_with("ERR");
        let setting = |name: &str, value| if is_error(value) { error(value) } else { list(&[name, value]) };
        let found = report_of(ServerNeeds::single(), info, |words| match words.get(2)?.as_str() {
            "appendfsync" => Some(setting("appendfsync", fsync)),
            "save" => Some(setting("save", save)),
            _ => None,
        });
        assert_eq!(found.is_clean(), clean, "{found}");
        assert_eq!(found.findings().is_empty(), signs.is_empty(), "{found}");
        for sign in signs {
            assert!(found.to_string().contains(sign), "no {sign:?} in {found}");
        }
    }
}

#[test]
fn what_a_user_lacks_is_granted_by_one_line() {
    let scripted = |words: &[&str]| {
        let found = list(words);
        report_of(ServerNeeds::single(), &info("7.4.1"), |asked| (asked[0] == "EVAL").then(|| found.clone()))
    };
    for (words, remedy) in [
        (vec!["HSET", "ERR The user executing the script can't run this command or subcommand"], "+hset"),
        (vec!["HSET", "@user_script: 3: The user executing the script can't run this command or subcommand"], "+hset"),
        (
            vec!["HKEYS", "ERR ACL failure in script: User payments has no permissions to run the 'hkeys' command"],
            "+hkeys",
        ),
        (vec!["DEL", "The user executing the script can't access at least one of the keys mentioned in"], "~pay:*"),
        (
            vec!["DEL", "ERR ACL failure in script: User payments has no permissions to access the 'pay:x' key"],
            "~pay:*",
        ),
        (vec!["DEL", "ERR ACL failure in script: No permissions to access a key"], "~pay:*"),
        (vec!["PUBLISH", "ERR ACL failure in script: No permissions to access a channel"], "&pay:*"),
        (vec!["PUBLISH", "ERR The user executing the script can't publish to the channel mentioned in"], "&pay:*"),
        (
            vec![
                "DEL",
                "The user executing the script can't run this command or subcommand",
                "SET",
                "The user executing the script can't access at least one of the keys mentioned in",
                "TIME",
                "The user executing the script can't run this command or subcommand",
            ],
            "~pay:* +time +del",
        ),
    ] {
        let found = scripted(&words);
        let [finding] = found.findings() else { panic!("{found}") };
        assert_eq!(finding.kind, ServerFindingKind::Rights);
        assert_eq!(finding.remedy.as_deref(), Some(&*format!("ACL SETUSER payments {remedy}")), "{finding:?}");
    }
    for unknown in ["ERR Unknown Redis command called from script", "ERR Unknown command called from script"] {
        let found = scripted(&["HSET", unknown]);
        assert!(!found.is_clean() && found.to_string().contains("the server has no command hset"), "{found}");
    }

    // Without the right to run a script, what the scripts may call is not known: all that they call is granted.
    let denied = |asked: &[String]| match asked[0].as_str() {
        "EVAL" => Some(error("NOPERM User payments has no permissions to run the 'eval' command")),
        "ACL" => Some(error("NOPERM User payments has no permissions to run the 'acl|whoami' command")),
        _ => None,
    };
    let found = report_of(ServerNeeds::single(), &info("7.4.1"), denied);
    let remedy = found.findings()[0].remedy.clone().unwrap();
    assert!(remedy.starts_with("ACL SETUSER payments +ping +info +eval +evalsha "), "{remedy}");
    assert!(remedy.contains(" +hset ") && !remedy.contains("waitaof") && !remedy.contains("spublish"), "{remedy}");
}

#[test]
fn what_a_server_refuses_for_the_moment_is_told_once() {
    use ServerFindingKind as Kind;

    for (code, kind) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", Kind::Memory),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable", Kind::Persistence),
        ("NOREPLICAS Not enough good replicas to write.", Kind::Replication),
        ("@user_script: 3: -READONLY You can't write against a read only replica.", Kind::Role),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", Kind::Availability),
        ("CLUSTERDOWN The cluster is down", Kind::Topology),
        ("ERR something that nobody expects", Kind::Unseen),
    ] {
        let answers = list(&["HSET", code]);
        let found = report_of(ServerNeeds::single(), &info("7.4.1"), |words| match words[0].as_str() {
            "EVAL" => Some(answers.clone()),
            "SCAN" => Some(error(code)),
            _ => None,
        });
        let expected = if kind == Kind::Unseen { 2 } else { 1 };
        assert_eq!(found.findings().len(), expected, "{found}");
        assert!(!found.is_clean() && found.findings()[0].kind == kind, "{found}");
    }
    let busy = report_of(ServerNeeds::single(), "", |_| Some(error("BUSY Redis is busy running a script.")));
    assert!(!busy.is_clean() && busy.to_string().contains("SCRIPT KILL"), "{busy}");
}

#[test]
fn a_client_for_another_kind_of_server_is_told_of_once() {
    let cluster = info("7.4.1").replace("cluster_enabled:0", "cluster_enabled:1");
    let moved = report_of(ServerNeeds::single(), &cluster, |words| {
        (words[0] == "EVAL").then(|| error("MOVED 7574 10.0.0.8:6379"))
    });
    assert!(moved.findings().len() == 1 && !moved.is_clean(), "{moved}");
    let disabled = report_of(ServerNeeds::cluster(), &info("7.4.1"), |words| {
        let disabled = error("ERR This instance has cluster support disabled");
        ["CLUSTER", "ASKING"].contains(&words[0].as_str()).then_some(disabled)
    });
    assert!(disabled.findings().len() == 1 && !disabled.is_clean(), "{disabled}");
}

#[test]
fn of_a_cluster_each_finding_names_its_server() {
    let (prefix, needs) = (KeyPrefix::default(), ServerNeeds::cluster());
    let cluster = info("7.4.1").replace("cluster_enabled:0", "cluster_enabled:1");
    let answers = |info: &str| needs.questions(&prefix).iter().map(|words| well(words, info)).collect::<Vec<_>>();
    let servers = [
        ServerAnswers::new("10.0.0.7:6379", answers(&cluster)),
        ServerAnswers::new("10.0.0.8:6379", answers(&cluster.replace("role:master", "role:slave"))),
    ];
    let report = ServerReport::new(&prefix, needs, &servers);
    assert_eq!(report.findings().len(), 1);
    assert_eq!(report.findings()[0].address, "10.0.0.8:6379");
    let text = report.to_string();
    assert!(
        text.starts_with("the Cluster of 10.0.0.7:6379 (Redis 7.4.1), 10.0.0.8:6379 (Redis 7.4.1) is not"),
        "{text}"
    );
    assert!(text.contains("\n  role          10.0.0.8:6379: this is a replica"), "{text}");
}

#[test]
fn a_report_steers_no_terminal() {
    let found = report(ServerNeeds::single(), "redis_version:7.4.1\x1b[2J\r\n");
    assert!(!found.to_string().contains('\x1b'), "{found}");
}

#[test]
fn answers_that_make_no_sense_do_no_harm() {
    let needs = ServerNeeds::cluster().acknowledged_by(1);
    let count = needs.questions(&KeyPrefix::default()).len();
    for answer in [text(""), list(&[]), list(&["one"]), error(""), error("NOPERM"), text("\u{0}:\u{0}")] {
        for count in [1, 3, count, count + 5] {
            let answers = [ServerAnswers::new("\n", vec![answer.clone(); count])];
            let report = ServerReport::new(&KeyPrefix::default(), needs, &answers);
            assert!(!report.is_clean() && !report.to_string().contains("\n\n"), "{report}");
        }
    }
}

#[test]
fn a_rule_grants_what_is_asked_and_no_more() {
    let prefix = KeyPrefix::new("a*b:").unwrap();
    for needs in
        [ServerNeeds::single(), ServerNeeds::sentinel().synced_to_disk(true), ServerNeeds::cluster().acknowledged_by(1)]
    {
        let rule = needs.acl_rule(&prefix);
        assert!(rule.starts_with("resetkeys ~a\\*b:* resetchannels &a\\*b:* -@all +"), "{rule}");
        for question in needs.questions(&prefix) {
            let name = match question[0].as_str() {
                "CONFIG" | "ACL" => continue,
                "CLUSTER" => "cluster|slots".to_owned(),
                other => other.to_ascii_lowercase(),
            };
            // A node of a Cluster has channels of its own from Redis 7 on, and those of all are not needed.
            if needs.is_cluster() && ["subscribe", "unsubscribe"].contains(&name.as_str()) {
                continue;
            }
            assert!(rule.split(' ').any(|part| part == format!("+{name}")), "no {name} in {rule}");
        }
        assert!(!rule.contains("@write") && !rule.contains("config") && !rule.contains("+keys"), "{rule}");
    }
}
