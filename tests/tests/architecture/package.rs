//! The files of one crate, and which of them imports from which.
//!
//! A name is followed through re-exports to the file that defines it: who imports `super::X` from a `mod.rs` that has
//! `pub use x::X` imports from `x.rs`.

use std::collections::BTreeMap;

use crate::source::{Declared, Path, Source};

/// Longer than any chain of re-exports; what is longer goes round.
const MOST_HOPS: usize = 32;

/// A crate's modules but those for tests; the first is its root.
#[derive(Debug)]
pub struct Package {
    modules: Vec<Module>,
    /// How many lines are for tests only, of each file that has others.
    pub test_lines: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Module {
    /// Where it is written, from the folder of the sources on.
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    source: Source,
}

/// A name that one file has from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub line: usize,
    pub to: String,
    /// As it is written.
    pub written: String,
    /// What is named on the way there: the file of the module that the path leads to, before any re-export.
    pub named: String,
    /// A parent passes on what its child defines, and has no use for it itself.
    pub passes_on: bool,
}

impl Package {
    /// The crate whose root is this one of the files.
    pub fn new(files: &BTreeMap<String, String>, root: &str) -> Self {
        let mut package = Self { modules: Vec::new(), test_lines: BTreeMap::new() };
        package.add(files, root, None);
        package
    }

    fn add(&mut self, files: &BTreeMap<String, String>, file: &str, parent: Option<usize>) -> usize {
        let text = files.get(file).unwrap_or_else(|| panic!("there is no file {file}"));
        let source = Source::parse(text);
        self.test_lines.insert(file.to_owned(), source.test_lines);
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let is_folders = parent.is_none() || name == "mod.rs";
        let inside = if is_folders { folder.to_owned() } else { join(folder, name.trim_end_matches(".rs")) };
        self.add_module(files, &Place { file: file.to_owned(), folder: folder.to_owned(), inside }, source, parent)
    }

    fn add_module(
        &mut self,
        files: &BTreeMap<String, String>,
        place: &Place,
        mut source: Source,
        parent: Option<usize>,
    ) -> usize {
        let declared = std::mem::take(&mut source.modules);
        let this = self.modules.len();
        self.modules.push(Module { file: place.file.clone(), parent, children: BTreeMap::new(), source });
        for Declared { name, at, inline } in declared {
            let child = if let Some(source) = inline {
                let inside = join(&place.inside, &name);
                self.add_module(files, &Place { inside, ..place.clone() }, source, Some(this))
            } else {
                let own = [format!("{name}.rs"), format!("{name}/mod.rs")].map(|file| join(&place.inside, &file));
                let file = match at {
                    Some(at) => join(&place.folder, &at),
                    None => own.iter().find(|file| files.contains_key(*file)).unwrap_or(&own[0]).clone(),
                };
                self.add(files, &file, Some(this))
            };
            self.modules[this].children.insert(name, child);
        }
        this
    }

    /// Every import from one file to another of the same crate.
    pub fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for (this, module) in self.modules.iter().enumerate() {
            for import in &module.source.imports {
                let is_used = import.name == "*" || module.source.words.contains(&import.name);
                self.extend(&mut imports, this, &import.path, import.is_public && !is_used);
            }
            // What begins with a type is its own, or was imported above.
            let is_type = |path: &&Path| path.segments[0].starts_with(char::is_uppercase);
            for path in module.source.paths.iter().filter(|path| !is_type(path)) {
                self.extend(&mut imports, this, path, false);
            }
        }
        imports.sort();
        imports.dedup();
        imports
    }

    fn extend(&self, imports: &mut Vec<Import>, from: usize, path: &Path, is_unused: bool) {
        let Some(to) = self.resolve(from, &path.segments, 0) else { return };
        let named = self.named(from, &path.segments).unwrap_or(to);
        let [source, target, named] = [from, to, named].map(|module| self.modules[module].file.clone());
        if source == target && source == named {
            return;
        }
        let passes_on = is_unused && self.is_below(to, from);
        let written = path.segments.join("::");
        imports.push(Import { from: source, line: path.line, to: target, written, named, passes_on });
    }

    fn is_below(&self, module: usize, above: usize) -> bool {
        std::iter::successors(Some(module), |module| self.modules[*module].parent).any(|module| module == above)
    }

    /// The module that a path leads to by modules alone.
    fn named(&self, from: usize, path: &[String]) -> Option<usize> {
        let (mut module, mut rest) = self.start(from, path)?;
        while let Some((child, after)) =
            rest.split_first().and_then(|(name, after)| Some((*self.modules[module].children.get(name)?, after)))
        {
            (module, rest) = (child, after);
        }
        Some(module)
    }

    /// Where a path begins that says so itself: `crate`, `self`, `super`, a child.
    fn start<'p>(&self, from: usize, path: &'p [String]) -> Option<(usize, &'p [String])> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => 0,
            "self" => from,
            "super" => self.modules[from].parent?,
            child => *self.modules[from].children.get(child)?,
        };
        while let Some(("super", after)) = rest.split_first().map(|(name, after)| (name.as_str(), after)) {
            (module, rest) = (self.modules[module].parent?, after);
        }
        Some((module, rest))
    }

    /// The module that defines what a path names, or that it is; `None` where that is in another crate.
    fn resolve(&self, from: usize, path: &[String], hops: usize) -> Option<usize> {
        if hops > MOST_HOPS {
            return None;
        }
        match self.start(from, path) {
            Some((module, rest)) => self.walk(module, rest, hops),
            None => self.bound(from, path, hops),
        }
    }

    fn walk(&self, module: usize, rest: &[String], hops: usize) -> Option<usize> {
        let Some((name, after)) = rest.split_first() else { return Some(module) };
        if let Some(child) = self.modules[module].children.get(name) {
            return self.walk(*child, after, hops);
        }
        if self.modules[module].source.items.contains(name) {
            return Some(module);
        }
        let is_bound = self.modules[module].source.imports.iter().any(|import| import.name == *name);
        if is_bound {
            return self.bound(module, rest, hops);
        }
        // A macro may define it here.
        Some(self.globbed(module, rest, hops).unwrap_or(module))
    }

    /// A path that begins with a name which a `use` of this module brings in.
    fn bound(&self, module: usize, path: &[String], hops: usize) -> Option<usize> {
        let (name, rest) = path.split_first()?;
        let imports = &self.modules[module].source.imports;
        let import = imports.iter().find(|import| import.name == *name && import.path.segments != path);
        let Some(import) = import else { return self.globbed(module, path, hops) };
        let whole: Vec<String> = import.path.segments.iter().chain(rest).cloned().collect();
        self.resolve(module, &whole, hops + 1)
    }

    fn globbed(&self, module: usize, path: &[String], hops: usize) -> Option<usize> {
        let globs = self.modules[module].source.imports.iter().filter(|import| import.name == "*");
        globs
            .filter_map(|glob| self.resolve(module, &glob.path.segments, hops + 1))
            .filter(|there| *there != module)
            .find(|there| {
                let there = &self.modules[*there];
                let has = |import: &crate::source::Import| import.is_public && import.name == path[0];
                there.source.items.contains(&path[0])
                    || there.children.contains_key(&path[0])
                    || there.source.imports.iter().any(has)
            })
            .and_then(|there| self.walk(there, path, hops + 1))
    }
}

/// Where a module's text is, where that file is, and where its children are.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    folder: String,
    inside: String,
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
