//! The modules of a crate as they are on the disk, and what each of them names. Tests are left out:
//! they may look anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// `crate::app::tasks` is `["app", "tasks"]`.
pub(super) type ModulePath = Vec<String>;

/// A crate from its `lib.rs` on.
#[derive(Default, Debug)]
pub(super) struct Source {
    pub(super) modules: BTreeMap<ModulePath, Module>,
}

/// One file. Modules between braces belong to the file that they are in.
#[derive(Default, Debug)]
pub(super) struct Module {
    /// Below `src`.
    pub(super) file: String,
    /// Paths as they are written, that of an import without its new name.
    pub(super) named: BTreeSet<Vec<String>>,
    /// Names that imports make here.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Those of them that others may use from here.
    pub(super) exports: BTreeSet<String>,
}

impl Source {
    /// # Errors
    /// When a file cannot be parsed, or a module has no file.
    pub(super) fn read(src: &Path) -> Result<Self> {
        Self::from_files(|file| std::fs::read_to_string(src.join(file)).ok())
            .with_context(|| format!("could not read {}", src.display()))
    }

    /// `text` gives the content of a file below `src`.
    pub(super) fn from_files(text: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut source = Self::default();
        let mut open = vec![(ModulePath::new(), vec!["lib.rs".to_owned()])];
        while let Some((path, files)) = open.pop() {
            let found = files.iter().find_map(|file| Some((file, text(file)?)));
            let (file, text) =
                found.with_context(|| format!("there is no file {}", files.join(" or ")))?;
            let (module, children) = Module::parse(file, &text)?;
            source.modules.insert(path.clone(), module);
            for child in children {
                let path: ModulePath = path.iter().cloned().chain([child]).collect();
                let base = path.join("/");
                open.push((path, vec![format!("{base}.rs"), format!("{base}/mod.rs")]));
            }
        }
        Ok(source)
    }
}

impl Module {
    /// The module in a file, and the names of the modules whose files it declares.
    fn parse(file: &str, text: &str) -> Result<(Self, Vec<String>)> {
        let parsed = syn::parse_file(text).with_context(|| format!("could not parse {file}"))?;
        let mut reader = Reader {
            module: Self {
                file: file.to_owned(),
                ..Self::default()
            },
            children: Vec::new(),
        };
        reader.visit_file(&parsed);
        Ok((reader.module, reader.children))
    }
}

struct Reader {
    module: Module,
    children: Vec<String>,
}

impl Reader {
    fn import(&mut self, tree: &syn::UseTree, prefix: &[String], exported: bool) {
        let with = |name: &syn::Ident| -> Vec<String> {
            prefix.iter().cloned().chain([name.to_string()]).collect()
        };
        let (path, name) = match tree {
            syn::UseTree::Path(path) => {
                return self.import(&path.tree, &with(&path.ident), exported);
            }
            syn::UseTree::Group(group) => {
                return group
                    .items
                    .iter()
                    .for_each(|tree| self.import(tree, prefix, exported));
            }
            syn::UseTree::Glob(_) => (prefix.to_vec(), None),
            // `use a::{self}` is `use a`.
            syn::UseTree::Name(name) if name.ident == "self" && !prefix.is_empty() => {
                (prefix.to_vec(), prefix.last().cloned())
            }
            syn::UseTree::Name(name) => (with(&name.ident), Some(name.ident.to_string())),
            syn::UseTree::Rename(rename) => (with(&rename.ident), Some(rename.rename.to_string())),
        };
        if let Some(name) = name {
            if exported {
                self.module.exports.insert(name.clone());
            }
            self.module.imports.insert(name, path.clone());
        }
        self.module.named.insert(path);
    }

    /// Paths among the tokens of a macro: names with `::` between them.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.name(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.name(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.read_tokens(group.stream());
                    }
                }
            }
        }
        self.name(path);
    }

    fn name(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.module.named.insert(path);
        }
    }
}

/// `#[cfg(test)]`, `#[test]`, `#[tokio::test]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        meta => meta
            .path()
            .segments
            .last()
            .is_some_and(|last| last.ident == "test"),
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        match item.content {
            _ if is_test(&item.attrs) => {}
            None => self.children.push(item.ident.to_string()),
            Some(_) => visit::visit_item_mod(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_test(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            let exported = !matches!(item.vis, syn::Visibility::Inherited);
            self.import(&item.tree, &[], exported);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(
            path.segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect(),
        );
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.read_tokens(mac.tokens.clone());
    }

    /// `pub(in crate::api)` says who may use it, not what it uses.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_names_is_found_wherever_it_stands() {
        let text = r#"
            mod child;
            pub use self::child::Thing as Other;
            use crate::state::{self, Tables};
            pub(in crate::api) fn work(at: crate::trust::Peer) -> super::Answer {
                warn!(node = %crate::agents::node(), "x {}", { super::up::down() });
            }
            #[cfg(test)]
            mod tests { use crate::upkeep; }
            #[cfg(test)]
            fn helper() { crate::upkeep::run() }
        "#;
        let (module, children) = Module::parse("a.rs", text).unwrap();
        let named: Vec<String> = module.named.iter().map(|path| path.join("::")).collect();
        let expected = [
            "crate::agents::node",
            "crate::state",
            "crate::state::Tables",
            "crate::trust::Peer",
            "self::child::Thing",
            "super::Answer",
            "super::up::down",
        ];
        assert_eq!(named, expected);
        assert_eq!(children, ["child"]);
        assert_eq!(module.imports["state"], ["crate", "state"]);
        assert_eq!(module.exports, BTreeSet::from(["Other".to_owned()]));
    }
}
