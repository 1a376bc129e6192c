//! What each client does: the runs hold it, and the table of docs/clients.md is made of it.

use crate::programs::Client;

/// A client, retries switched on and nothing else said, unless a field says otherwise.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table")]
pub struct Facts {
    pub client: Client,
    /// As the table names it, with versions.
    pub name: &'static str,
    /// Without retries asked for, it sends a POST again whose connection was lost.
    pub bare_resends: bool,
    /// A POST whose connection was lost.
    pub resends_lost: bool,
    /// A POST that was answered 503.
    pub resends_503: bool,
    /// A POST that was answered 500.
    pub resends_500: bool,
    /// The same, with the page's settings.
    pub settings_resend_500: bool,
    /// A POST that was answered 409.
    pub resends_409: bool,
    /// A POST that was not answered within the client's timeout.
    pub resends_timeout: bool,
    /// With the page's settings, one whose answer breaks off half-way.
    pub resends_broken: bool,
    /// With the page's settings, it waits as long as `Retry-After` says.
    pub honours_retry_after: bool,
    /// Its heading on the page.
    pub settings: &'static str,
}

pub const ALL: [Facts; 9] = [
    Facts {
        client: Client::Curl,
        name: "curl 7.88.1",
        bare_resends: false,
        resends_lost: false,
        resends_503: true,
        resends_500: true,
        settings_resend_500: true,
        resends_409: false,
        resends_timeout: true,
        resends_broken: true,
        honours_retry_after: true,
        settings: "curl",
    },
    Facts {
        client: Client::Requests,
        name: "requests 2.34.2, urllib3 2.8.0",
        bare_resends: false,
        resends_lost: false,
        resends_503: false,
        resends_500: false,
        settings_resend_500: false,
        resends_409: false,
        resends_timeout: false,
        resends_broken: false,
        honours_retry_after: true,
        settings: "requests",
    },
    Facts {
        client: Client::Httpx,
        name: "httpx 0.28.1, httpx-retries 0.6.0",
        bare_resends: false,
        resends_lost: false,
        resends_503: false,
        resends_500: false,
        settings_resend_500: false,
        resends_409: false,
        resends_timeout: false,
        resends_broken: false,
        honours_retry_after: true,
        settings: "httpx",
    },
    Facts {
        client: Client::Fetch,
        name: "fetch of Node 20.20.2",
        bare_resends: false,
        resends_lost: false,
        resends_503: false,
        resends_500: false,
        settings_resend_500: false,
        resends_409: false,
        resends_timeout: false,
        resends_broken: true,
        honours_retry_after: true,
        settings: "fetch",
    },
    Facts {
        client: Client::Axios,
        name: "axios 1.21.1, axios-retry 4.5.0",
        bare_resends: false,
        resends_lost: true,
        resends_503: false,
        resends_500: false,
        settings_resend_500: false,
        resends_409: false,
        resends_timeout: false,
        resends_broken: true,
        honours_retry_after: true,
        settings: "axios",
    },
    Facts {
        client: Client::Got,
        name: "got 14.6.5",
        bare_resends: false,
        resends_lost: false,
        resends_503: false,
        resends_500: false,
        settings_resend_500: false,
        resends_409: false,
        resends_timeout: false,
        resends_broken: true,
        honours_retry_after: true,
        settings: "got",
    },
    Facts {
        client: Client::Reqwest,
        name: "reqwest 0.13.5, reqwest-middleware 0.5.2, reqwest-retry 0.9.1",
        bare_resends: false,
        resends_lost: true,
        resends_503: true,
        resends_500: true,
        settings_resend_500: false,
        resends_409: false,
        resends_timeout: true,
        resends_broken: false,
        honours_retry_after: true,
        settings: "reqwest",
    },
    Facts {
        client: Client::StripePython,
        name: "stripe-python 16.1.0",
        bare_resends: false,
        resends_lost: true,
        resends_503: true,
        resends_500: true,
        settings_resend_500: true,
        resends_409: true,
        resends_timeout: true,
        resends_broken: false,
        honours_retry_after: false,
        settings: "Stripe's SDKs",
    },
    Facts {
        client: Client::StripeNode,
        name: "stripe-node 23.1.0",
        bare_resends: true,
        resends_lost: true,
        resends_503: true,
        resends_500: true,
        settings_resend_500: true,
        resends_409: true,
        resends_timeout: true,
        resends_broken: false,
        honours_retry_after: false,
        settings: "Stripe's SDKs",
    },
];

pub fn of(client: Client) -> Facts {
    ALL.into_iter().find(|facts| facts.client == client).expect("every client has its facts")
}
