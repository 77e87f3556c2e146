use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000);

struct Node {
    folder: tempfile::TempDir,
    held: Vec<ManifestId>,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("chunks")).unwrap();
        let held = vec![ManifestId::of(b"one"), ManifestId::of(b"other")];
        Self { folder, held }
    }

    fn start(&self) -> Arc<Marks> {
        let store = self.folder.path().join("chunks");
        Marks::open(self.folder.path(), &store, &self.held, NOW)
    }

    fn doubtful(&self) -> usize {
        self.start().unverified(|_| true).len()
    }
}

#[test]
fn a_process_that_comes_back_on_a_machine_that_stayed_up_verifies_nothing_again() {
    let node = Node::new();
    assert_eq!(node.doubtful(), 2, "nobody has verified it yet");
    let marks = node.start();
    marks.verified(node.held[0]);
    assert_eq!(node.doubtful(), 1);
    marks.all_verified();
    // Neither with an orderly end nor without.
    assert_eq!(node.doubtful(), 0);
    node.start().end();
    assert_eq!(node.doubtful(), 0);
}

#[test]
fn another_store_or_an_older_one_counts_for_nothing() {
    let node = Node::new();
    node.start().all_verified();
    let chunks = node.folder.path().join("chunks");
    // As a backup does that is written over the present one.
    let mark = chunks.join("identity");
    let bytes = std::fs::read(&mark).unwrap();
    std::fs::remove_file(&mark).unwrap();
    std::fs::write(&mark, bytes).unwrap();
    assert_eq!(node.doubtful(), 2);
    node.start().all_verified();
    std::fs::rename(&chunks, node.folder.path().join("old")).unwrap();
    std::fs::create_dir(&chunks).unwrap();
    assert_eq!(node.doubtful(), 2, "another disk");
    node.start().all_verified();
    std::fs::write(node.folder.path().join("verified"), b"{\"bind").unwrap();
    assert_eq!(node.doubtful(), 2, "a file that is damaged");
}

#[test]
fn a_machine_that_went_down_without_a_word_is_not_believed() {
    let node = Node::new();
    let reboot = || {
        let marks = node.start();
        let mut state = marks.lock();
        let binding = state.kept.binding.as_mut().unwrap();
        binding.pretend_boot("another");
        // As the last process of the boot before has left it.
        marks.save(&state);
    };
    node.start().all_verified();
    reboot();
    assert_eq!(node.doubtful(), 2);
    node.start().all_verified();
    reboot();
    let path = node.folder.path().join("verified");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"ended\":false", "\"ended\":true")).unwrap();
    assert_eq!(node.doubtful(), 0, "it was shut down");
}

#[test]
fn how_far_it_is_follows_from_the_parts_and_outlives_restarts() {
    let node = Node::new();
    let marks = node.start();
    let mut parts = vec![0; PARTS];
    (parts[0], parts[7], parts[255]) = (3, 4, 5);
    let presence = Presence { parts, missing: 0 };
    marks.looked_at(node.held[0], Some(presence));
    let figures = |marks: &Marks| {
        let all = marks.unverified(|id| *id == node.held[0]);
        (all[0].verified, all[0].total)
    };
    assert_eq!(figures(&marks), (0, 12));
    for part in 0..8 {
        marks.in_round(|round| round.part_done(part, 0, NOW));
    }
    assert_eq!(figures(&marks), (7, 12));
    marks.end();
    assert_eq!(node.start().round().parts_done(), 8);
    assert_eq!(marks.not_looked_at(), [node.held[1]]);
}
