//! Measures one kind of request after the other with wrk.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::rest::Rest;
use foghorn_tests::tools::find;
use serde_json::Value;

/// What is asked for again and again.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Lua that gives the path of the next request from `n`, a number that no other request of
    /// this thread has.
    path: String,
    /// Lua that gives the body of a POST; a GET without.
    body: Option<&'static str>,
    /// A request of this kind, and how many objects its answer has to have.
    sample: Option<(String, u64)>,
}

/// The result of a case.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) rps: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Answers other than 2xx and 3xx, and requests without an answer.
    pub(crate) errors: u64,
}

pub(crate) struct Load<'a> {
    pub(crate) rest: &'a Rest,
    pub(crate) folder: &'a Path,
    pub(crate) duration: Duration,
    pub(crate) connections: u32,
}

/// The cases of a fleet. Creates come last: they make it grow.
pub(crate) fn cases(hosts: u32, is_large: bool) -> Vec<Case> {
    let get = |name, path: &str, sample| Case {
        name,
        path: path.to_owned(),
        body: None,
        sample,
    };
    let create = Case {
        name: "host_create",
        path: "\"/fog/host/create\"".to_owned(),
        // Ten letters at most beside the number: a host's name has fifteen.
        body: Some(
            r#"string.format('{"name":"n%d-%d","macs":["02:%02x:%02x:%02x:%02x:%02x"]}', id, n, id, n / 16777216 % 256, n / 65536 % 256, n / 256 % 256, n % 256)"#,
        ),
        sample: None,
    };
    if !is_large {
        let lists = [
            get("host_get", "\"/fog/host/1\"", None),
            get(
                "host_list",
                "\"/fog/host\"",
                Some(("/fog/host".to_owned(), hosts.into())),
            ),
            get("task_active", "\"/fog/task/active\"", None),
        ];
        return lists.into_iter().chain([create]).collect();
    }
    // Spread over the fleet: 7919 is prime.
    let some = format!("(n * 7919 + id * 131) % {hosts}");
    let pages = hosts - hosts.min(100) + 1;
    let (last, address) = (super::fill::name(hosts), super::fill::mac(hosts));
    vec![
        get("host_get", "\"/fog/host/1\"", None),
        get(
            "host_page",
            &format!("string.format('/fog/host?start=%d&length=100', {some} % {pages})"),
            Some((
                "/fog/host?start=0&length=100".to_owned(),
                hosts.min(100).into(),
            )),
        ),
        get(
            "search_name",
            &format!("string.format('/fog/host/search/pc%06d', 1 + {some})"),
            Some((format!("/fog/host/search/{last}"), 1)),
        ),
        get(
            "search_mac",
            &format!(
                "(function(m) return string.format('/fog/host/search/52:54:00:%02x:%02x:%02x', m / 65536, m / 256 % 256, m % 256) end)(1 + {some})"
            ),
            Some((format!("/fog/host/search/{address}"), 1)),
        ),
        create,
    ]
}

impl Load<'_> {
    pub(crate) fn run(&self, case: &Case) -> Result<Measured> {
        if let Some((path, count)) = &case.sample {
            self.check(path, *count)?;
        }
        let script = self.folder.join(format!("{}.lua", case.name));
        std::fs::write(&script, self.script(case))?;
        let output = Command::new(find("wrk")?)
            .args(["--threads", &self.connections.clamp(1, 2).to_string()])
            .args(["--connections", &self.connections.to_string()])
            .args([
                "--duration",
                &format!("{}s", self.duration.as_secs()),
                "--timeout",
                "30s",
                "--latency",
            ])
            .arg("--script")
            .arg(&script)
            .arg(&self.rest.url)
            .output()
            .context("could not start wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "wrk failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        measured(case.name, &text).with_context(|| format!("output of wrk:\n{text}"))
    }

    /// Checks that the answer has the expected number of objects.
    fn check(&self, path: &str, count: u64) -> Result<()> {
        let answer = self.rest.get(path)?.ok()?;
        let rows = answer["hosts"].as_array().map_or(0, Vec::len);
        ensure!(rows as u64 == count, "{path} has {rows} hosts, not {count}");
        Ok(())
    }

    /// wrk runs one Lua state per thread; `done` sees them all and prints one line of JSON.
    fn script(&self, case: &Case) -> String {
        let method = if case.body.is_some() { "POST" } else { "GET" };
        format!(
            r#"local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("id", threads)
end
local n = 0
local headers = {{ ["fog-api-token"] = "{api}", ["fog-user-token"] = "{user}",
    ["content-type"] = "application/json" }}
function request()
  n = n + 1
  return wrk.format("{method}", {path}, headers, {body})
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {{"rps":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"errors":%d}}\n',
    summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000,
        latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#,
            api = self.rest.api_token,
            user = self.rest.user_token,
            path = case.path,
            body = case.body.unwrap_or("nil"),
        )
    }
}

fn measured(name: &'static str, text: &str) -> Result<Measured> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .context("no result")?;
    let result: Value = serde_json::from_str(line)?;
    let number = |member: &str| {
        result[member]
            .as_f64()
            .with_context(|| format!("no {member}"))
    };
    Ok(Measured {
        name,
        rps: number("rps")?,
        p50_ms: number("p50_ms")?,
        p99_ms: number("p99_ms")?,
        errors: result["errors"].as_u64().context("no errors")?,
    })
}
