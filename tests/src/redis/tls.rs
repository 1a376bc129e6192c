//! Certificates for servers that speak TLS: an authority and one certificate for 127.0.0.1, made once per process.

use std::{fs, path::Path, process::Command, sync::OnceLock};

use redis::TlsCertificates;

use super::server::write_for_the_server;
use crate::packages;

/// What the certificates are for. The system's own configuration would say something else on each system.
const CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = 127.0.0.1
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[server]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost
";

/// Each line makes what the next one needs.
const STEPS: [&str; 3] = [
    "req -x509 -config config -extensions authority -subj /CN=tests -newkey rsa:2048 -nodes -days 30 \
     -keyout authority.key -out authority.pem",
    "req -new -config config -newkey rsa:2048 -nodes -keyout server.key -out server.csr",
    "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -extfile config \
     -extensions server -days 30 -out server.pem",
];

const FILES: [&str; 3] = ["authority.pem", "server.pem", "server.key"];

/// Puts what [`config`] names into the directory above the server's data.
pub(super) fn prepare(directory: &Path) {
    for (name, bytes) in FILES.iter().zip(made()) {
        write_for_the_server(&directory.join(name), bytes);
    }
}

/// The lines of a server that speaks nothing else.
pub(super) fn config(port: u16) -> String {
    format!(
        "port 0\ntls-port {port}\ntls-ca-cert-file ../authority.pem\ntls-cert-file ../server.pem\n\
         tls-key-file ../server.key\ntls-auth-clients no\ntls-replication yes\ntls-cluster yes\n"
    )
}

/// What a client has to trust.
pub(super) fn trusted() -> TlsCertificates {
    let [authority, ..] = made();
    TlsCertificates { client_tls: None, root_cert: Some(authority.clone()) }
}

fn made() -> &'static [Vec<u8>; 3] {
    static MADE: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        fs::write(directory.path().join("config"), CONFIG).expect("the directory takes a file");
        for step in STEPS {
            let ran = openssl().args(step.split_whitespace()).current_dir(directory.path()).output();
            let ran = ran.expect("`openssl` runs");
            assert!(ran.status.success(), "openssl {step}:\n{}", String::from_utf8_lossy(&ran.stderr));
        }
        FILES.map(|name| fs::read(directory.path().join(name)).expect("openssl has written it"))
    })
}

fn openssl() -> Command {
    let runs = || Command::new("openssl").arg("version").output().is_ok_and(|ran| ran.status.success());
    if !runs() {
        packages::install_on_debian("openssl");
    }
    assert!(runs(), "the tests of TLS need the program `openssl` and found none in PATH.\nRun: {}", advice());
    Command::new("openssl")
}

fn advice() -> &'static str {
    packages::advice(
        [
            ("/usr/bin/apt-get", "sudo apt-get update && sudo apt-get install -y openssl"),
            ("/usr/bin/dnf", "sudo dnf install -y openssl"),
            ("/usr/bin/zypper", "sudo zypper install -y openssl"),
            ("/usr/bin/pacman", "sudo pacman -S --noconfirm openssl"),
            ("/sbin/apk", "sudo apk add openssl"),
        ],
        "brew install openssl",
        "your package manager, for OpenSSL (https://openssl-library.org)",
    )
}
