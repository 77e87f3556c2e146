//! The examples in `docs/operations/notifications.md` accept what we sign, and nothing else.

use std::process::Command;

use super::receiver::Receiver;
use super::{ALL, quick, webhook};
use crate::native::fleet::Fleet;

const PAGE: &str = include_str!("../../../../../docs/operations/notifications.md");

/// The block of this language that contains this word.
fn block(language: &str, word: &str) -> String {
    let blocks = PAGE.split("\n```").collect::<Vec<_>>();
    let start = format!("{language}\n");
    let found = blocks
        .iter()
        .find(|block| block.starts_with(&start) && block.contains(word));
    found.expect("the page has the example")[start.len()..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_documentation_check_signatures() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::http().await;
    let (id, secret) = webhook(&fleet, &receiver, serde_json::json!({})).await;
    fleet.good("POST", &format!("{ALL}/{id}/test"), None).await;
    let taken = receiver.taken(1).await.remove(0);
    fleet.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let header = |name: &str| taken.headers[name].clone();
    for (body, is_ours) in [
        (taken.body.clone(), true),
        (taken.body.replace("test", "tost"), false),
    ] {
        std::fs::write(folder.path().join("body"), &body).unwrap();
        let shell = block("sh", "openssl");
        let said = Command::new("sh")
            .args(["-c", &shell])
            .current_dir(folder.path())
            .env("secret", &secret)
            .env("id", header("webhook-id"))
            .env("timestamp", header("webhook-timestamp"))
            .env("signature", header("webhook-signature"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&said.stdout).trim() == "genuine";
        assert_eq!(said, is_ours, "shell");

        for (late, is_fresh) in [(0, true), (301, false)] {
            let python = format!(
                "{}\n\nimport json, sys\nheaders, secret, late = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n\
                 now = int(headers['webhook-timestamp']) + late\n\
                 print(is_genuine(secret, headers, open('body', 'rb').read(), now))",
                block("python", "is_genuine")
            );
            let said = Command::new("python3")
                .args(["-c", &python])
                .arg(serde_json::to_string(&taken.headers).unwrap())
                .arg(&secret)
                .arg(late.to_string())
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&said.stdout).into_owned()
                + String::from_utf8_lossy(&said.stderr).as_ref();
            let expected = if is_ours && is_fresh { "True" } else { "False" };
            assert_eq!(said.trim(), expected, "Python, {late} seconds late");
        }
    }
}
