//! Which module a path leads to.

use std::collections::BTreeSet;

use super::source::{Module, ModulePath, Source};

/// Re-exports that lead on to re-exports; more would be a circle of them.
const STEPS: usize = 8;

/// From one module to another whose file is not its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Arrow {
    pub(super) from: ModulePath,
    pub(super) to: ModulePath,
    /// Only because `from` hands it out under its own name.
    pub(super) exported: bool,
}

pub(super) fn arrows(source: &Source) -> BTreeSet<Arrow> {
    let mut arrows = BTreeSet::new();
    for (from, module) in &source.modules {
        for named in &module.named {
            let Some(path) = absolute(source, from, module, named) else {
                continue;
            };
            let to = target(source, path, STEPS);
            if to != *from {
                let exported = module
                    .exports
                    .iter()
                    .any(|name| module.imports.get(name) == Some(named));
                arrows.insert(Arrow {
                    from: from.clone(),
                    to,
                    exported,
                });
            }
        }
    }
    arrows
}

/// The path from the root of the crate; `None` for what is outside of it.
fn absolute(
    source: &Source,
    from: &ModulePath,
    module: &Module,
    named: &[String],
) -> Option<Vec<String>> {
    let (first, rest) = named.split_first()?;
    let base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.clone(),
        "super" => from.split_last()?.1.to_vec(),
        name => {
            let child: ModulePath = from.iter().cloned().chain([name.to_owned()]).collect();
            if source.modules.contains_key(&child) {
                child
            } else {
                let import = module
                    .imports
                    .get(name)
                    .filter(|import| import.first() != Some(first))?;
                absolute(source, from, module, import)?
            }
        }
    };
    let mut path = base;
    for name in rest {
        if name == "super" {
            path.pop()?;
        } else {
            path.push(name.clone());
        }
    }
    Some(path)
}

/// The last module on the way; what another module hands on is that module's.
fn target(source: &Source, path: Vec<String>, steps: usize) -> ModulePath {
    let mut at = ModulePath::new();
    for (place, name) in path.iter().enumerate() {
        at.push(name.clone());
        if source.modules.contains_key(&at) {
            continue;
        }
        at.pop();
        let Some(module) = source
            .modules
            .get(&at)
            .filter(|module| steps > 0 && module.exports.contains(name))
        else {
            break;
        };
        let import = module
            .imports
            .get(name)
            .and_then(|import| absolute(source, &at, module, import));
        if let Some(import) = import {
            let onward = import
                .into_iter()
                .chain(path[place + 1..].iter().cloned())
                .collect();
            return target(source, onward, steps - 1);
        }
        break;
    }
    at
}
