/// What a server answered to one of [`ServerNeeds::questions`](crate::redis::ServerNeeds::questions).
///
/// ```
/// use cratestack_schema::redis::ServerAnswer;
///
/// let pong = ServerAnswer::Text("PONG".into());
/// assert_ne!(pong, ServerAnswer::Error("NOPERM this user has no permissions to run the 'ping' command".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAnswer {
    /// A text, a number, or nothing.
    Text(String),
    /// A list, or a map whose names and values take turns. Of what lies deeper nothing need be there.
    List(Vec<String>),
    /// An error, with its code, as the server spells it.
    Error(String),
}

/// What one server answered.
///
/// ```
/// use cratestack_schema::redis::{ServerAnswer, ServerAnswers};
///
/// let answers = ServerAnswers::new("10.0.0.7:6379", vec![ServerAnswer::Text("redis_version:7.4.1\r\n".into())]);
/// assert_eq!(answers.address(), "10.0.0.7:6379");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAnswers {
    pub(super) address: String,
    pub(super) answers: Vec<ServerAnswer>,
}

impl ServerAnswers {
    /// The answers to all of [`ServerNeeds::questions`](crate::redis::ServerNeeds::questions), in their order, and the
    /// address that the report is to name, without a password.
    ///
    /// ```
    /// let silent = cratestack_schema::redis::ServerAnswers::new("10.0.0.7:6379", Vec::new());
    /// ```
    pub fn new(address: impl Into<String>, answers: Vec<ServerAnswer>) -> Self {
        Self { address: address.into(), answers }
    }

    /// Where the server is.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::redis::ServerAnswers::new("a:1", Vec::new()).address(), "a:1");
    /// ```
    pub fn address(&self) -> &str {
        &self.address
    }
}
