//! What a campaign found: counts, and the seeds that failed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::shape::{DiskShape, OldTarget};

/// What one seed came to.
pub struct SeedResult {
    pub seed: u64,
    pub faults: Vec<String>,
}

#[derive(Default)]
pub struct Report {
    pub seeds: u64,
    pub failed: Vec<SeedResult>,
    counts: BTreeMap<String, u64>,
    pub seconds: f64,
}

impl Report {
    pub fn add(&mut self, shape: &DiskShape, result: SeedResult) {
        self.seeds += 1;
        let mut count = |name: String| *self.counts.entry(name).or_insert(0) += 1;
        count(format!("table: {}", shape.table.kind()));
        count(format!("sectors of {}", shape.sector));
        for part in &shape.partitions {
            count(format!("content: {}", part.content.kind()));
            for (is, word) in [
                (part.old.is_some(), "over old content"),
                (part.volume_size < part.size, "smaller than the partition"),
                (part.volume_size > part.size, "larger than the partition"),
                (part.wrong_type, "with another type"),
                (part.unclean, "unclean"),
            ] {
                if is {
                    count(format!("partition: {word}"));
                }
            }
        }
        for stray in &shape.strays {
            count(format!(
                "data: {}",
                if stray.behind {
                    "behind the last partition"
                } else {
                    "in a gap"
                }
            ));
        }
        for target in shape.targets() {
            let larger = if target.size > shape.size {
                "larger"
            } else {
                "same size"
            };
            count(format!("target: {larger}, {}", target.old.kind()));
            if let OldTarget::Disk(disk) = &target.old {
                count(format!("old disk: {}", disk.table.kind()));
            }
        }
        if !result.faults.is_empty() {
            self.failed.push(result);
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        let failed: Vec<Value> = self
            .failed
            .iter()
            .map(|failed| json!({ "seed": failed.seed, "faults": failed.faults }))
            .collect();
        json!({
            "seeds": self.seeds,
            "seconds": self.seconds,
            "failed": failed,
            "counts": self.counts,
        })
    }

    pub fn print(&self) {
        for (name, count) in &self.counts {
            println!("  {count:6}  {name}");
        }
        println!(
            "{} seeds in {:.0} s ({:.2} s each), {} failed",
            self.seeds,
            self.seconds,
            self.seconds / self.seeds.max(1) as f64,
            self.failed.len()
        );
    }
}
