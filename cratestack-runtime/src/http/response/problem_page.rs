use std::fmt::Write;

use http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use super::problem::Problem;
use super::problem_details::phrase;
use super::problem_kind::Retry;

/// It is all that the page loads, and its hash all that the policy lets pass.
const STYLE: &str = ":root{color-scheme:light dark;font:1.0625rem/1.5 system-ui,sans-serif}\
    body{margin:0;padding:8vh 1.25rem 2rem;overflow-wrap:anywhere}\
    main{max-width:38rem;margin:auto}\
    h1{font-size:1.5rem;line-height:1.25}\
    .again{padding-inline-start:1rem;border-inline-start:.25rem solid}\
    dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;font-size:.9375rem}\
    dd{margin:0}";

/// Of [`STYLE`], whose hash a test in a browser holds against this one.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-3dHDCNpxvCzuUJ1QY8+W8/Us7wLppCwuWnmlUH2Bspc='; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

impl Problem {
    /// As a page for a person.
    pub(super) fn page(&self) -> Response<String> {
        let mut response = self.head(self.html(), HeaderValue::from_static("text/html; charset=utf-8"));
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn html(&self) -> String {
        let (title, detail) = (Escaped(self.title()), &*self.detail());
        let (code, status) = (self.code(), self.status());
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n<p>{}</p>\n<p class=\"again\">{}</p>\n<dl>\n\
             <dt>Status</dt><dd>{} {}</dd>\n<dt>Code</dt><dd><code>{}</code></dd>\n",
            Escaped(detail),
            Escaped(&self.advice()),
            status.as_str(),
            Escaped(phrase(status)),
            Escaped(code),
        );
        if let Some(original_status) = self.original_status() {
            // Writing to a string cannot fail.
            let _ = writeln!(html, "<dt>It was answered</dt><dd>{}</dd>", original_status.as_str());
        }
        html.push_str("</dl>\n");
        if let Some(address) = self.documentation_url() {
            let address = Escaped(address);
            let _ = writeln!(html, "<p><a href=\"{address}#{code}\">What this service says of it</a></p>");
        }
        html.push_str("</main>\n</body>\n</html>\n");
        html
    }

    /// Whether and when to send the request again.
    fn advice(&self) -> String {
        let when = match self.retry() {
            Retry::OnceMended => return "To send it again as it is does not help.".to_owned(),
            Retry::OnceLookedInto => {
                return "It may have been carried out. Look whether it was, before you send it again.".to_owned();
            }
            Retry::AtOnce => "now".to_owned(),
            Retry::After(1) => "in a second".to_owned(),
            Retry::After(seconds) => format!("in {seconds} seconds"),
        };
        format!("You can send it again, unchanged, {when}. If you sent a form, reload this page to do so.")
    }
}

/// Text between tags, or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let text = "</title><script src='x'>\"&amp;\u{0}ü";
        let expected = "&lt;/title&gt;&lt;script src=&#39;x&#39;&gt;&quot;&amp;amp;\u{0}ü";
        assert_eq!(Escaped(text).to_string(), expected);
    }
}
