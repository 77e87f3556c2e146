//! Files that name each other in a circle. What a module takes from one it lies in is no arrow: it
//! is a part of that one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::resolve::Arrow;
use super::source::{ModulePath, Source};

/// One line for each knot of files, with the shortest circle through it.
pub(super) fn find(source: &Source, arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let mut next: BTreeMap<&ModulePath, Vec<&ModulePath>> = BTreeMap::new();
    for arrow in arrows {
        let handed_out = arrow.exported && arrow.to.starts_with(&arrow.from);
        if !arrow.from.starts_with(&arrow.to) && !handed_out {
            next.entry(&arrow.from).or_default().push(&arrow.to);
        }
    }
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for start in next.keys() {
        if seen.contains(start) {
            continue;
        }
        let Some(circle) = shortest(&next, start) else {
            continue;
        };
        let onward = reach(&next, start);
        let knot: Vec<_> = onward
            .into_iter()
            .filter(|other| reach(&next, other).contains(start))
            .collect();
        seen.extend(knot.iter().copied());
        let files: Vec<&str> = circle
            .iter()
            .map(|path| source.modules[*path].file.as_str())
            .collect();
        problems.push(format!(
            "a circle of {} files: {}",
            knot.len(),
            files.join(" → ")
        ));
    }
    problems
}

type Next<'a> = BTreeMap<&'a ModulePath, Vec<&'a ModulePath>>;

fn reach<'a>(next: &Next<'a>, start: &ModulePath) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&ModulePath> = next.get(start).into_iter().flatten().copied().collect();
    while let Some(path) = open.pop() {
        if let Some((path, _)) = next.get_key_value(path)
            && reached.insert(*path)
        {
            open.extend(&next[path]);
        }
    }
    reached
}

/// From `start` back to it.
fn shortest<'a>(next: &Next<'a>, start: &'a ModulePath) -> Option<Vec<&'a ModulePath>> {
    let mut before: BTreeMap<&ModulePath, &ModulePath> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for to in next.get(at).into_iter().flatten().copied() {
            if to == start {
                let mut circle = vec![start, at];
                while let Some(earlier) = before.get(circle[circle.len() - 1]) {
                    circle.push(earlier);
                }
                if circle[circle.len() - 1] != start {
                    circle.push(start);
                }
                circle.reverse();
                return Some(circle);
            }
            if !before.contains_key(to) {
                before.insert(to, at);
                open.push_back(to);
            }
        }
    }
    None
}
