//! The description of the dialect against a running controller: a validator judges it, and schemathesis
//! looks for answers that it does not allow.

use std::fs;

use anyhow::Result;
use foghorn_tests::stack::Engine;
use serde_json::json;

use super::controller;
use crate::api_description::{is_valid, schemathesis};

#[test]
fn schemathesis_finds_nothing_in_the_dialect() -> Result<()> {
    let (stack, operator) = controller(Engine::Embedded)?;
    let document = stack.folder().join("openapi-factory.json");
    fs::write(&document, stack.rest.get("/openapi-factory.json")?.body)?;
    is_valid(&stack, &document)?;
    // So that something is there to be found.
    operator.register("5a1c0d2e-7b1f-4c6e-9a53-0f6f7d3b0103", &json!({}))?;
    let tokens = [("OSF-TOKEN", operator.token.as_str())];
    schemathesis(&stack, "openapi-factory.json", &tokens, &[])?;
    stack.wait_ready()?;
    // Whoever lost the token on the way has tested how the door is closed, and little else.
    operator.get("/ota/factories/")?;
    Ok(())
}
