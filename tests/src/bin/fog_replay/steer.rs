//! Brings our server to where FOG's went, after it was asked for something that it does only when
//! it is named: what follows in the recording is then about the same state.

use anyhow::Result;
use serde_json::{Value, json};

use super::http::Reply;
use super::recording::Exchange;
use super::server::Server;

/// To be called after a request that a rule lets differ.
pub(crate) async fn catch_up(server: &mut Server, record: &Exchange, reply: &Reply) -> Result<()> {
    if record.response["status"] != 200 || reply.status == 200 || record.method != "DELETE" {
        return Ok(());
    }
    let (class, id) = record.object();
    if record.path.trim_end_matches('/').ends_with("/cancel") {
        let sent: Value = serde_json::from_slice(&record.body).unwrap_or_default();
        let names_some = sent.as_object().is_some_and(|members| !members.is_empty());
        let all = if class == "scheduledtask" {
            json!({"isActive": "1"})
        } else {
            json!({"stateID": ["0", "1", "2", "3"]})
        };
        let body = if names_some { sent } else { all };
        server
            .send("DELETE", &format!("/fog/{class}/cancel"), &body)
            .await?;
    } else if let ("image", Some(id)) = (class, id) {
        server
            .send(
                "PUT",
                &format!("/fog/image/{id}"),
                &json!({"protected": "0"}),
            )
            .await?;
        server
            .send("DELETE", &format!("/fog/image/{id}"), &Value::Null)
            .await?;
    }
    Ok(())
}
