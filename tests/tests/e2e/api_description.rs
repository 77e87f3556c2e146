//! The description of the API against a running controller: schemathesis looks for answers that it
//! does not allow, a validator judges it, and a client that a generator made from it does some work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use foghorn_tests::tools::python;

/// Two busy cores, a debug build, a thousand operations.
const SCHEMATHESIS_WITHIN: Duration = Duration::from_secs(600);
/// Thousands of schemas, in Python.
const VALIDATED_WITHIN: Duration = Duration::from_secs(240);
/// Generating and formatting a client of a thousand operations takes its time.
const GENERATED_WITHIN: Duration = Duration::from_secs(240);

fn python_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// Runs a command to its end within a time; a failure shows what it said.
fn run(stack: &Stack, name: &str, command: &mut Command, within: Duration) -> Result<String> {
    let mut process = Process::start(stack.folder(), name, command)?;
    let status = process.wait(within)?;
    ensure!(
        status.success(),
        "{name} ended with {status}:\n{}",
        process.log()
    );
    Ok(process.log())
}

fn ca_file(stack: &Stack) -> Result<PathBuf> {
    let path = stack.folder().join("ca.pem");
    fs::write(&path, &stack.rest.ca_pem)?;
    Ok(path)
}

#[test]
fn schemathesis_finds_nothing() -> Result<()> {
    let stack = Stack::start(Engine::Embedded)?;
    let tokens = [
        ("fog-api-token", stack.rest.api_token.as_str()),
        ("fog-user-token", stack.rest.user_token.as_str()),
    ];
    let but = format!("{ALIASES}|{LOCKS}|{ENDLESS}");
    let but = ["--exclude-path-regex", but.as_str()];
    schemathesis(&stack, "openapi.json", &tokens, &but)?;
    stack.wait_ready()?;
    // Whoever lost the tokens on the way has tested how the door is closed, and little else.
    let still = stack.rest.get("/fog/system/info")?;
    ensure!(
        still.status == 200,
        "the tokens do not work at the end: {}",
        still.status
    );
    stack.rest.get("/foghorn/v1/users")?.ok().map(drop)
}

/// Looks for answers that a document does not allow. `tokens` are headers of every request.
pub(crate) fn schemathesis(
    stack: &Stack,
    document: &str,
    tokens: &[(&str, &str)],
    more: &[&str],
) -> Result<()> {
    let mut command = Command::new(python("schemathesis")?);
    command
        .current_dir(stack.folder())
        .env("SCHEMATHESIS_HOOKS", "fog_hooks")
        .env("PYTHONPATH", python_folder())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([
            "run",
            &format!("{}/{document}", stack.rest.url),
            "--tls-verify",
        ])
        .arg(ca_file(stack)?);
    for (name, value) in tokens {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    command
        .args([
            "--phases",
            "fuzzing",
            "--max-examples",
            "3",
            "--seed",
            "1",
            "--no-shrink",
            // Python 3.11 sometimes fails when two threads parse its source at once
            // (python/cpython#106905).
            "--workers",
            "1",
        ])
        .args([
            "--checks",
            CHECKS,
            "--continue-on-failure",
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
        ])
        .args(["--request-timeout", "30", "--no-color"])
        .args(more);
    let said = run(stack, "schemathesis", &mut command, SCHEMATHESIS_WITHIN)?;
    ensure!(said.contains("No issues found"), "it ended early:\n{said}");
    Ok(())
}

/// What an answer must keep to. What schemathesis calls a negative test has no place here: FOG's
/// dialect takes anything for anything, and says 501 where others say 405.
const CHECKS: &str = "status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,only_documented_refusals_above_499";

/// Users, the API's token and its switch: these would lock the run out.
const LOCKS: &str = "^/foghorn/v1/(users|api)(/|$)";

/// Aliases of routes of all classes but `host`: other spellings have the same handlers, and one
/// class stands for all.
const ALIASES: &str = "^/fog/(?!host/)[a-z]+/(list|all|details|current|create|new|\\{id\\}/(edit|update|delete|remove))$";

/// The generator's own formatting of its output would need minutes, and nobody reads this client.
/// PEM is a text to it only when somebody says so.
const GENERATOR: &str = "\
project_name_override: foghorn-client
package_name_override: foghorn_client
post_hooks: []
content_type_overrides:
  application/x-pem-file: text/plain
";

/// Routes whose answer has no end.
const ENDLESS: &str = "^(/foghorn/v1)?/events$";

/// Has a document judged by the validator of the specification's own schemas.
pub(crate) fn is_valid(stack: &Stack, document: &Path) -> Result<()> {
    let mut validate = Command::new(python("openapi-spec-validator")?);
    validate.args(["--validation-errors", "all"]).arg(document);
    let said = run(stack, "validator", &mut validate, VALIDATED_WITHIN)?;
    ensure!(said.contains(": OK"), "{}:\n{said}", document.display());
    Ok(())
}

#[test]
fn a_generated_client_creates_orders_cancels_and_deletes() -> Result<()> {
    let stack = Stack::controller_only(Engine::Embedded, &Options::default())?;
    let document = stack.folder().join("openapi.json");
    fs::write(&document, stack.rest.get("/openapi.json")?.body)?;
    is_valid(&stack, &document)?;
    let legacy = stack.folder().join("openapi-3.0.json");
    fs::write(&legacy, stack.rest.get("/openapi-3.0.json")?.body)?;
    is_valid(&stack, &legacy)?;
    let settings = stack.folder().join("generator.yml");
    fs::write(&settings, GENERATOR)?;
    let mut generate = Command::new(python("openapi-python-client")?);
    generate
        .current_dir(stack.folder())
        .args([
            "generate",
            "--meta",
            "none",
            "--output-path",
            "generated/foghorn_client",
            "--path",
        ])
        .arg(&document)
        .arg("--config")
        .arg(&settings);
    fs::create_dir(stack.folder().join("generated"))?;
    let said = run(&stack, "generator", &mut generate, GENERATED_WITHIN)?;
    ensure!(
        !said.contains("WARNING") && !said.contains("ERROR"),
        "the generator complains:\n{said}"
    );
    let mut walk = Command::new(python("python")?);
    walk.arg(python_folder().join("client_walk.py"))
        .arg(stack.folder().join("generated"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FOGHORN_URL", &stack.rest.url)
        .env("FOGHORN_API_TOKEN", &stack.rest.api_token)
        .env("FOGHORN_USER_TOKEN", &stack.rest.user_token)
        .env("FOGHORN_CA", ca_file(&stack)?);
    let said = run(&stack, "walk", &mut walk, PATIENCE)?;
    ensure!(
        said.contains("created, read, cancelled, deleted"),
        "the walk ended early:\n{said}"
    );
    let left = stack.rest.get("/fog/host")?.ok()?;
    left["count"]
        .as_u64()
        .filter(|count| *count == 0)
        .context("the host is still there")
        .map(drop)
}
