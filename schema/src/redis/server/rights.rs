use super::needs::{channel_rule, key_rule};
use crate::redis::KeyPrefix;

/// What a server's error says that its caller lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// The right to call the command.
    Command,
    /// The right to the key.
    Key,
    /// The right to the channel.
    Channel,
    /// Nobody may call it: the server does not have the command, or no longer under its name.
    Unknown,
}

impl Lack {
    /// Servers say it in words of their own: one way for commands, another for those that a script calls, and each
    /// version differently.
    pub(super) fn of(error: &str) -> Option<Self> {
        let error = error.to_ascii_lowercase();
        let has = |text: &str| error.contains(text);
        if has("unknown redis command") || has("unknown command") {
            return Some(Self::Unknown);
        }
        if !has("no permissions to") && !has("user executing the script can't") {
            return None;
        }
        // A command may have a key in its name.
        if has("to run the ") || has("can't run this command") {
            return Some(Self::Command);
        }
        Some(if has("channel") { Self::Channel } else { Self::Key })
    }
}

/// The name of the user whom an error is about, as newer servers spell them.
pub(super) fn user_in(error: &str) -> Option<&str> {
    let (_, rest) = error.split_once("User ")?;
    rest.split_once(" has no permissions").map(|(user, _)| user)
}

/// What a user lacks, of all that was asked.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    commands: Vec<String>,
    unknown: Vec<String>,
    keys: bool,
    channels: bool,
    /// Where scripts may not be run, nobody knows what they may call.
    scripts: bool,
}

impl Lacking {
    /// Takes down what the error of a command says. Whether it was about rights at all.
    pub(super) fn add(&mut self, command: &str, error: &str) -> bool {
        let Some(lack) = Lack::of(error) else { return false };
        let names = match lack {
            Lack::Key => {
                self.keys = true;
                return true;
            }
            Lack::Channel => {
                self.channels = true;
                return true;
            }
            Lack::Command => &mut self.commands,
            Lack::Unknown => &mut self.unknown,
        };
        let command = command.to_ascii_lowercase();
        self.scripts |= command == "eval";
        if !names.contains(&command) {
            names.push(command);
        }
        true
    }

    /// What the server has no command of, in words.
    pub(super) fn unknown(&self) -> Option<String> {
        if self.unknown.is_empty() {
            return None;
        }
        let names = self.unknown.join(", ");
        Some(format!("the server has no command {names}: its configuration has disabled or renamed it"))
    }

    /// What the user lacks, in words, and the line that grants exactly that.
    pub(super) fn missing(&self, user: &str, prefix: &KeyPrefix, needed: &[String]) -> Option<(String, String)> {
        let mut lacks = Vec::new();
        let mut rules = Vec::new();
        if self.keys {
            lacks.push(format!("use keys that begin with {prefix}"));
            rules.push(key_rule(prefix));
        }
        if self.channels {
            lacks.push(format!("use channels that begin with {prefix}"));
            rules.push(channel_rule(prefix));
        }
        if !self.commands.is_empty() {
            lacks.push(format!("call {}", self.commands.join(", ")));
            let granted = needed.iter().filter(|command| self.scripts || self.commands.contains(command));
            rules.extend(granted.map(|command| format!("+{command}")));
        }
        if lacks.is_empty() {
            return None;
        }
        let mut text = format!("the user {user} may not {}", lacks.join(", nor "));
        if self.scripts {
            text.push_str("; what its scripts may do is seen once they run: check again then");
        }
        Some((text, format!("ACL SETUSER {user} {}", rules.join(" "))))
    }
}
