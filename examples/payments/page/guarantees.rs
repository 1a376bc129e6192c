//! `docs/guarantees.md` as a page of the service: the link to it works wherever the example runs.

use std::{collections::HashSet, fmt::Write as _, mem};

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

pub(super) fn page() -> String {
    let markdown = include_str!("../../../docs/guarantees.md");
    let mut events: Vec<_> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    let contents = name_headings(&mut events);
    let mut leads_elsewhere = false;
    events.retain(|event| match event {
        // The service has no other document of the repository.
        Event::Start(Tag::Link { dest_url, .. }) => {
            leads_elsewhere = !["#", "https://"].iter().any(|kept| dest_url.starts_with(kept));
            !leads_elsewhere
        }
        Event::End(TagEnd::Link) => !mem::take(&mut leads_elsewhere),
        _ => true,
    });
    let mut document = String::new();
    html::push_html(&mut document, events.into_iter());
    include_str!("guarantees.html").replace("{{contents}}", &contents).replace("{{document}}", &document)
}

/// Gives headings the names by which the document links them, which are GitHub's; of headings with one text the first
/// has it. Returns links to the chapters.
fn name_headings(events: &mut [Event]) -> String {
    let (mut names, mut contents) = (HashSet::new(), String::new());
    for at in 0..events.len() {
        let (heading, after) = events[at..].split_at_mut(1);
        let Event::Start(Tag::Heading { level, id, .. }) = &mut heading[0] else { continue };
        let text = after.iter().map_while(|event| match event {
            Event::End(TagEnd::Heading(_)) => None,
            Event::Text(text) | Event::Code(text) => Some(&**text),
            _ => Some(""),
        });
        let text: String = text.collect();
        let name = text.to_lowercase().replace(' ', "-");
        let name: String = name.chars().filter(|&c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
        if names.insert(name.clone()) {
            if *level == HeadingLevel::H2 {
                // Writing to a string cannot fail.
                let _ = write!(contents, "<a href=\"#{name}\">{text}</a> ");
            }
            *id = Some(name.into());
        }
    }
    contents
}
