//! What goes wrong on a connection, in words that hold no secret.

use redis::{ErrorKind, RedisError};

use crate::output::visible;

/// What must not be shown, of one URL.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|secret| !secret.is_empty()).collect();
        // One may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// No text of ours has a secret in it. This is for those of others.
    pub fn hide(&self, text: &str) -> String {
        visible(&self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***")))
    }

    /// An error as the server spells it, or in words.
    pub fn describe(&self, error: &RedisError) -> String {
        let text = match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) => {
                "the server does not know the user, or the password is another: see `ACL LIST` there, or `requirepass`"
                    .to_owned()
            }
            (ErrorKind::Io, _) if error.is_timeout() => "no answer in time".to_owned(),
            (_, Some(_)) => {
                let text = spelled(error);
                let hint =
                    if text.contains("'select'") { "; grant +select, or leave its number out of the URL" } else { "" };
                format!("{text}{hint}")
            }
            (_, None) => error.to_string(),
        };
        self.hide(&text)
    }
}

/// The error of a server, as the server spells it.
pub fn spelled(error: &RedisError) -> String {
    [error.code(), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_steers_the_terminal() {
        let secrets = Secrets::new(["pass".to_owned(), "pass%20word".to_owned(), String::new()]);
        assert_eq!(secrets.hide("a pass%20word of pass\u{1b}[2J"), "a *** of ***\\u{1b}[2J");
        assert_eq!(Secrets::default().hide("as it is"), "as it is");
    }
}
