//! What one source file says of modules and imports, read from its tokens: comments, documentation and strings have
//! none.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path as it is written, at this line.
#[derive(Debug, Clone)]
pub struct Path {
    pub line: usize,
    pub segments: Vec<String>,
}

/// One name that a `use` brings in.
#[derive(Debug, Clone)]
pub struct Import {
    pub path: Path,
    /// What it is called here; `*` for all that is there.
    pub name: String,
    pub is_public: bool,
}

/// A module's own words. Whatever is built for tests only is left out.
#[derive(Debug, Default)]
pub struct Source {
    pub imports: Vec<Import>,
    /// Paths of at least two segments, and lone names of macros are none.
    pub paths: Vec<Path>,
    /// What is defined here.
    pub items: BTreeSet<String>,
    /// Every word of the code outside of `use`, but for the names of methods and fields.
    pub words: BTreeSet<String>,
    pub modules: Vec<Declared>,
    /// How many lines are for tests only.
    pub test_lines: usize,
}

/// A `mod`.
#[derive(Debug)]
pub struct Declared {
    pub name: String,
    /// Of `#[path = "…"]`.
    pub at: Option<String>,
    /// Where it is written in place.
    pub inline: Option<Source>,
}

impl Source {
    pub fn parse(text: &str) -> Self {
        let tokens: TokenStream = text.parse().expect("a source that compiles has tokens");
        let mut source = Self::default();
        source.read(tokens, true);
        source
    }

    /// Items are those of the module; in a group of its tokens there are only paths, and imports that bind nothing
    /// outside.
    fn read(&mut self, tokens: TokenStream, is_module: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut at, mut path) = (0, None);
        while at < tokens.len() {
            if let Some((group, end)) = attribute(&tokens, at) {
                if is_for_tests(&group) {
                    let after = end_of_item(&tokens, end);
                    let last = tokens[after - 1].span().end().line;
                    self.test_lines += last + 1 - tokens[at].span().start().line;
                    at = after;
                } else {
                    path = path_of(&group).or(path);
                    at = end;
                }
                continue;
            }
            at = match word(&tokens, at).as_deref() {
                Some("use") if !is_punct(&tokens, at + 1, '<') => self.import(&tokens, at),
                Some("mod") if word(&tokens, at + 1).is_some() => self.module(&tokens, at, path.take()),
                Some(_) => self.name(&tokens, at, is_module),
                None => {
                    // `pub(in crate::a)` says who may look, and imports nothing.
                    let is_visibility = at > 0 && word(&tokens, at - 1).as_deref() == Some("pub");
                    if let TokenTree::Group(group) = &tokens[at]
                        && !is_visibility
                    {
                        self.read(group.stream(), false);
                    }
                    at + 1
                }
            };
        }
    }

    fn import(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let end = (at..tokens.len()).find(|&end| is_punct(tokens, end, ';')).expect("a `use` ends");
        // `pub`, or `pub(crate)`.
        let before = at.checked_sub(1).map(|before| match &tokens[before] {
            TokenTree::Group(_) => before.saturating_sub(1),
            _ => before,
        });
        let is_public = before.is_some_and(|before| word(tokens, before).as_deref() == Some("pub"));
        self.import_tree(&tokens[at + 1..end], &[], is_public);
        end + 1
    }

    /// `a::b`, `a::{b, c::*}`, `a as b`, below `parents`.
    fn import_tree(&mut self, tokens: &[TokenTree], parents: &[String], is_public: bool) {
        for tree in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
            let (mut segments, mut alias, mut leaf) = (parents.to_vec(), None, true);
            let mut at = 0;
            while at < tree.len() {
                match &tree[at] {
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.import_tree(&inner, &segments, is_public);
                        leaf = false;
                    }
                    TokenTree::Ident(ident) if ident == "as" => {
                        alias = word(tree, at + 1);
                        at += 1;
                    }
                    TokenTree::Ident(ident) => segments.push(plain(&ident.to_string())),
                    TokenTree::Punct(punct) if punct.as_char() == '*' => alias = Some("*".to_owned()),
                    _ => {}
                }
                at += 1;
            }
            let Some(first) = tree.first().filter(|_| leaf) else { continue };
            if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            let name = alias.or_else(|| segments.last().cloned()).unwrap_or_default();
            let path = Path { line: first.span().start().line, segments };
            self.imports.push(Import { path, name, is_public });
        }
    }

    fn module(&mut self, tokens: &[TokenTree], at: usize, path: Option<String>) -> usize {
        let name = word(tokens, at + 1).expect("a module has a name");
        let inline = match tokens.get(at + 2) {
            Some(TokenTree::Group(group)) => {
                let mut source = Self::default();
                source.read(group.stream(), true);
                self.test_lines += source.test_lines;
                Some(source)
            }
            _ => None,
        };
        self.modules.push(Declared { name, at: path, inline });
        at + 3
    }

    /// A word: a definition's keyword, the start of a path, or neither.
    fn name(&mut self, tokens: &[TokenTree], at: usize, is_module: bool) -> usize {
        const DEFINES: [&str; 8] = ["fn", "struct", "enum", "trait", "union", "type", "const", "static"];
        let first = word(tokens, at).expect("it is a word");
        let (mut segments, mut end) = (vec![first], at + 1);
        while is_punct(tokens, end, ':') && is_punct(tokens, end + 1, ':') {
            let Some(next) = word(tokens, end + 2) else { break };
            segments.push(next);
            end += 3;
        }
        let follows = |mark: [char; 2]| {
            at >= 2 && [at - 2, at - 1].iter().zip(mark).all(|(at, mark)| is_punct(tokens, *at, mark))
        };
        let is_method = at > 0 && is_punct(tokens, at - 1, '.') && !follows(['.', '.']);
        let is_field = is_punct(tokens, end, ':') && !is_punct(tokens, end + 1, ':');
        if !(is_method || is_field) {
            self.words.extend(segments.iter().cloned());
        }
        let continues = follows([':', ':']);
        if segments.len() > 1 {
            if !continues {
                self.paths.push(Path { line: tokens[at].span().start().line, segments });
            }
            return end;
        }
        if is_module {
            if DEFINES.contains(&segments[0].as_str()) {
                self.items.extend(word(tokens, at + 1));
            } else if segments[0] == "macro_rules" {
                self.items.extend(word(tokens, at + 2));
            }
        }
        end
    }
}

/// `#[…]` or `#![…]`, and where it ends.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(Group, usize)> {
    if !is_punct(tokens, at, '#') {
        return None;
    }
    let at = at + 1 + usize::from(is_punct(tokens, at + 1, '!'));
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => Some((group.clone(), at + 1)),
        _ => None,
    }
}

/// `cfg(test)`, `cfg(all(test, …))`; not `cfg(any(test, …))`, which other builds have as well.
fn is_for_tests(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn path_of(attribute: &Group) -> Option<String> {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let is_path = word(&tokens, 0).as_deref() == Some("path");
    tokens.get(2).filter(|_| is_path).map(|path| path.to_string().trim_matches('"').to_owned())
}

/// Past the item, field or statement that begins here, further attributes included.
fn end_of_item(tokens: &[TokenTree], start: usize) -> usize {
    let mut at = start;
    while let Some((_, end)) = attribute(tokens, at) {
        at = end;
    }
    let is_use = (at..at + 3).any(|at| word(tokens, at).as_deref() == Some("use"));
    let is_field = is_punct(tokens, at + 1, ':') && !is_punct(tokens, at + 2, ':');
    while at < tokens.len() {
        let is_block = matches!(&tokens[at], TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        let ends = is_punct(tokens, at, ';') || (is_field && is_punct(tokens, at, ',')) || (is_block && !is_use);
        at += 1;
        if ends {
            break;
        }
    }
    at
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(plain(&ident.to_string())),
        _ => None,
    }
}

fn plain(ident: &str) -> String {
    ident.trim_start_matches("r#").to_owned()
}

fn is_punct(tokens: &[TokenTree], at: usize, expected: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == expected)
}
