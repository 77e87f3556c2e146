use proptest::prelude::*;

use super::*;
use crate::DocumentFile;

type Config = BTreeMap<FileName, OpenedFile>;

fn config(files: &[(&str, &str, &str)]) -> Config {
    let file = |&(name, content, handler): &(&str, &str, &str)| {
        let handler = Some(handler.to_owned()).filter(|handler| !handler.is_empty());
        let opened = OpenedFile {
            content: content.into(),
            on_changed: handler.into_iter().collect(),
        };
        (name.parse().unwrap(), opened)
    };
    files.iter().map(file).collect()
}

fn document(config: &Config) -> Document {
    let file = |file: &OpenedFile| DocumentFile {
        value: String::from_utf8(file.content.clone()).unwrap(),
        unencrypted: true,
        on_changed: file.on_changed.clone(),
    };
    let files = config
        .iter()
        .map(|(name, opened)| (name.clone(), file(opened)));
    Document(files.collect())
}

/// A machine whose disk is a map, and which may stop after any step.
#[derive(Clone, Default, Debug)]
struct Machine {
    disk: BTreeMap<FileName, Vec<u8>>,
    stored: Option<Document>,
    pending: Pending,
    /// Handler and name of each run.
    ran: Vec<(String, String)>,
}

impl Machine {
    fn plan(&self, new: &Config) -> Plan {
        let found = new.iter().map(|(name, file)| {
            let found = match self.disk.get(name) {
                None => Found::Missing,
                Some(content) if *content == file.content => Found::Same,
                Some(_) => Found::Different,
            };
            (name.clone(), found)
        });
        plan(&Before {
            previous: self.stored.as_ref(),
            new,
            found: &found.collect(),
            pending: &self.pending,
        })
    }

    /// `false` when it stopped before its end.
    fn take_over(&mut self, new: &Config, most_steps: usize) -> bool {
        let plan = self.plan(new);
        if most_steps == 0 {
            return false;
        }
        self.pending = plan.pending;
        for (done, step) in plan.steps.iter().enumerate() {
            if done + 1 == most_steps {
                return false;
            }
            match step {
                Step::Write(name) => {
                    let in_the_way = clashes(&self.disk, name);
                    assert!(in_the_way.is_empty(), "{name}: {in_the_way:?}");
                    self.disk.insert(name.clone(), new[name].content.clone());
                }
                Step::Remove(name) => {
                    self.disk.remove(name);
                }
                Step::RemoveEmptyFolders(_) => {}
                Step::Run { name, argv } => self.ran.push((argv[0].clone(), name.to_string())),
            }
        }
        self.stored = Some(document(new));
        self.pending = Pending::default();
        true
    }

    fn ran(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.ran)
    }
}

const ALL: usize = usize::MAX;

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(handler, name)| ((*handler).to_owned(), (*name).to_owned()))
        .collect()
}

#[test]
fn handlers_run_for_what_is_new_different_or_gone_and_not_for_what_is_equal() {
    let mut machine = Machine::default();
    machine.take_over(
        &config(&[("a", "1", "ha"), ("b", "1", "hb"), ("c", "1", "old")]),
        ALL,
    );
    assert_eq!(
        machine.ran(),
        pairs(&[("ha", "a"), ("hb", "b"), ("old", "c")])
    );
    let next = config(&[("a", "1", "ha"), ("b", "2", "hb"), ("d", "1", "")]);
    machine.take_over(&next, ALL);
    assert_eq!(machine.ran(), pairs(&[("hb", "b"), ("old", "c")]));
    assert!(machine.plan(&next).is_empty());
    // The same content with another handler is the same.
    machine.take_over(
        &config(&[("a", "1", "new"), ("b", "2", "hb"), ("d", "1", "")]),
        ALL,
    );
    assert!(machine.ran().is_empty());
    machine.take_over(&Config::new(), ALL);
    assert_eq!(machine.ran(), pairs(&[("new", "a"), ("hb", "b")]));
    assert!(machine.disk.is_empty());
}

#[test]
fn after_a_restart_every_file_is_new() {
    let mut machine = Machine::default();
    let present = config(&[("a", "1", "h")]);
    machine.take_over(&present, ALL);
    machine.ran();
    machine.disk.clear();
    machine.take_over(&present, ALL);
    assert_eq!(machine.ran(), pairs(&[("h", "a")]));
}

#[test]
fn folders_are_removed_after_the_file_and_its_handler() {
    let mut machine = Machine::default();
    machine.take_over(&config(&[("x/y/a", "1", "h")]), ALL);
    let name: FileName = "x/y/a".parse().unwrap();
    assert_eq!(
        machine.plan(&Config::new()).steps,
        [
            Step::Remove(name.clone()),
            Step::Run {
                name: name.clone(),
                argv: vec!["h".to_owned()]
            },
            Step::RemoveEmptyFolders(name),
        ]
    );
}

#[test]
fn what_is_in_the_way_goes_first() {
    let mut machine = Machine::default();
    machine.take_over(
        &config(&[("a", "1", "ha"), ("b/c", "1", "hc"), ("z", "1", "hz")]),
        ALL,
    );
    machine.ran();
    machine.take_over(&config(&[("a/x", "1", "hx"), ("b", "1", "hb")]), ALL);
    let ran = machine.ran();
    assert_eq!(
        ran,
        pairs(&[
            ("ha", "a"),
            ("hc", "b/c"),
            ("hx", "a/x"),
            ("hb", "b"),
            ("hz", "z")
        ])
    );
}

#[test]
fn a_handler_that_a_dead_run_owes_runs() {
    let mut machine = Machine::default();
    let new = config(&[("a", "1", "h")]);
    // The file is written, and the handler has not run.
    assert!(!machine.take_over(&new, 2));
    assert_eq!((machine.disk.len(), machine.ran()), (1, Vec::new()));
    assert!(machine.take_over(&new, ALL));
    assert_eq!(machine.ran(), pairs(&[("h", "a")]));
}

#[test]
fn a_file_of_a_config_that_never_became_the_present_one_is_removed() {
    let mut machine = Machine::default();
    assert!(!machine.take_over(&config(&[("a", "1", "ha"), ("b", "1", "hb")]), 3));
    machine.ran();
    machine.take_over(&config(&[("b", "2", "hb")]), ALL);
    assert_eq!(machine.ran(), pairs(&[("hb", "b"), ("ha", "a")]));
    assert_eq!(machine.disk.len(), 1);
}

#[test]
fn what_is_pending_is_written_as_json() {
    let mut machine = Machine::default();
    machine.take_over(&config(&[("a/b", "1", "h")]), 1);
    let text = serde_json::to_string(&machine.pending).unwrap();
    assert_eq!(text, r#"{"a/b":{"on_changed":["h"],"owed":true}}"#);
    assert_eq!(
        serde_json::from_str::<Pending>(&text).unwrap(),
        machine.pending
    );
}

/// Configs as an effective one can be: no name is a folder of another. The handler of a file is named after it.
fn any_config() -> impl Strategy<Value = Config> {
    proptest::collection::btree_map("[ab](/[ab]){0,2}", ("[12]", any::<bool>()), 0..5).prop_map(
        |files| {
            let mut config = Config::new();
            for (name, (content, handled)) in files {
                let name: FileName = name.parse().unwrap();
                if clashes(&config, &name).is_empty() {
                    let on_changed = if handled {
                        vec![format!("h-{name}")]
                    } else {
                        Vec::new()
                    };
                    let content = content.into_bytes();
                    config.insert(
                        name,
                        OpenedFile {
                            content,
                            on_changed,
                        },
                    );
                }
            }
            config
        },
    )
}

/// Whether all of these handlers are of files that have them no more.
fn moot(due: &BTreeMap<FileName, String>, present: &Config) -> bool {
    due.iter().all(|(name, handler)| {
        let file = present.get(name);
        file.is_none_or(|file| file.on_changed.first() != Some(handler))
    })
}

proptest! {
    /// Configs follow each other, and the machine may die in each and go on with it or with the next one. In the end it has
    /// the last config, every handler that was due has run, and nothing is left to do.
    #[test]
    fn wherever_it_dies_the_machine_ends_with_the_last_config(
        configs in proptest::collection::vec((any_config(), proptest::option::of(0..8_usize)), 1..6)
    ) {
        let mut machine = Machine::default();
        let mut due: BTreeMap<FileName, String> = BTreeMap::new();
        for (new, dies_after) in &configs {
            if *dies_after == Some(0) {
                machine.take_over(new, 0);
                continue;
            }
            for step in machine.plan(new).steps {
                if let Step::Run { name, argv } = step {
                    due.insert(name, argv[0].clone());
                }
            }
            let is_done = machine.take_over(new, dies_after.unwrap_or(ALL));
            for (handler, name) in machine.ran() {
                prop_assert_eq!(due.remove(name.as_str()), Some(handler));
            }
            if is_done {
                prop_assert!(moot(&due, new), "{:?}", due);
                due.clear();
            }
        }
        let last = &configs.last().unwrap().0;
        prop_assert!(machine.take_over(last, ALL));
        let wanted: BTreeMap<_, _> = last.iter().map(|(name, file)| (name.clone(), file.content.clone())).collect();
        prop_assert_eq!(&machine.disk, &wanted);
        prop_assert!(machine.plan(last).is_empty());
        for (_, name) in machine.ran() {
            due.remove(name.as_str());
        }
        prop_assert!(moot(&due, last), "{:?}", due);
    }
}
