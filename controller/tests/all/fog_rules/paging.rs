//! Pages and orders of lists, which a FOG server does not have.

use serde_json::{Value, json};

use crate::fog_rules::host;
use crate::fog_support::{Reply, Server};

async fn get(server: &Server, path: &str) -> Reply {
    server.call("GET", path, Value::Null).await
}

fn names(reply: &Reply, list: &str) -> Vec<String> {
    let answer = reply.json();
    let rows = answer[list]
        .as_array()
        .unwrap_or_else(|| panic!("{}", reply.text));
    assert_eq!(
        answer["count"],
        rows.len(),
        "count is the length of the list"
    );
    rows.iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

fn next(reply: &Reply) -> Option<String> {
    let links = reply.header("link").to_owned();
    links.split(", ").find_map(|link| {
        Some(
            link.strip_suffix(">; rel=\"next\"")?
                .strip_prefix('<')?
                .to_owned(),
        )
    })
}

/// `count` hosts `pc00` …, whose descriptions sort the other way round and whose kernels are
/// numbers.
async fn fleet(server: &Server, count: u32) {
    for number in 0..count {
        let body = json!({
            "name": format!("pc{number:02}"),
            "macs": [format!("52:54:00:00:03:{number:02x}")],
            "description": format!("d{:02}", 99 - number),
            "imageID": number % 3 + 1,
        });
        assert_eq!(
            server.call("POST", "/fog/host/create", body).await.status,
            200
        );
    }
}

#[tokio::test]
async fn pages_follow_one_another_and_make_up_the_list() {
    let server = Server::start().await;
    fleet(&server, 25).await;
    let whole = get(&server, "/fog/host").await;
    assert_eq!(
        (whole.header("x-total-count"), whole.header("link")),
        ("", ""),
        "nobody asked"
    );
    for query in [
        "length=10",
        "length=10&orderBy=name",
        "length=7&orderBy=-id",
        "length=4&orderBy=description&orderDir=desc",
    ] {
        let (mut seen, mut at) = (Vec::new(), Some(format!("/fog/host?{query}")));
        while let Some(path) = at {
            let page = get(&server, &path).await;
            assert_eq!(
                (page.status.as_u16(), page.header("x-total-count")),
                (200, "25"),
                "{path}"
            );
            seen.extend(names(&page, "hosts"));
            at = next(&page);
        }
        let mut expected = names(&whole, "hosts");
        if query.contains("-id") {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{query}");
    }
    let beyond = get(&server, "/fog/host?start=400&length=10").await;
    assert_eq!(
        (beyond.text.as_str(), beyond.header("x-total-count")),
        (r#"{"count":0,"hosts":[]}"#, "25")
    );
    let none = get(&server, "/fog/host?length=0").await;
    assert_eq!(
        (
            names(&none, "hosts").len(),
            none.header("x-total-count"),
            none.header("link")
        ),
        (0, "25", "")
    );
}

#[tokio::test]
async fn every_list_can_be_paged_and_ordered() {
    let server = Server::start().await;
    fleet(&server, 9).await;
    let call = async |path: &str| get(&server, path).await;
    // By a number, the name deciding between equals.
    let by_image = call("/fog/host/all?orderBy=-imageID&length=4").await;
    assert_eq!(names(&by_image, "hosts"), ["pc02", "pc05", "pc08", "pc01"]);
    assert_eq!(
        names(
            &call("/fog/host/search/pc0?start=7&length=5").await,
            "hosts"
        ),
        ["pc07", "pc08"]
    );
    assert_eq!(
        call("/fog/host/ids?length=2&orderDir=desc").await.text,
        r#"["9","8"]"#
    );
    assert_eq!(
        call("/fog/host/ids/x/name?start=8").await.text,
        r#"["pc08"]"#
    );
    assert_eq!(
        call("/fog/host/names?start=1&length=1").await.text,
        r#"[{"id":"2","name":"pc01"}]"#
    );
    let image = crate::fog_rules::image(&server).await;
    for id in 1..=3 {
        assert_eq!(
            server
                .call("PUT", &format!("/fog/host/{id}"), json!({"imageID": image}))
                .await
                .status,
            200
        );
        let task = server
            .call(
                "POST",
                &format!("/fog/host/{id}/task"),
                json!({"taskTypeID": 2}),
            )
            .await;
        assert_eq!(task.status, 200, "{}", task.text);
    }
    let active = call("/fog/task/active?orderBy=-id&length=2").await;
    assert_eq!(
        (
            active.json()["tasks"][0]["id"].as_str(),
            active.header("x-total-count")
        ),
        (Some("3"), "3")
    );
    let filtered = server
        .call("GET", "/fog/host?length=1", json!({"imageID": image}))
        .await;
    assert_eq!(
        (
            names(&filtered, "hosts").len(),
            filtered.header("x-total-count")
        ),
        (1, "5")
    );
}

#[tokio::test]
async fn bad_parameters_are_named_and_others_ignored() {
    let server = Server::start().await;
    host(&server, "one", "52:54:00:00:00:01", 0).await;
    for (query, name) in [
        ("start=-1", "start"),
        ("length=ten", "length"),
        ("orderBy=nosuch", "orderBy"),
        ("orderBy=ADPass", "orderBy"),
        ("orderBy=name&orderDir=sideways", "orderDir"),
    ] {
        let refused = get(&server, &format!("/fog/host?{query}")).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text);
        assert!(
            refused.json()["error"].as_str().unwrap().starts_with(name),
            "{query}: {}",
            refused.text
        );
    }
    let plain = get(&server, "/fog/host").await.text;
    assert_eq!(
        get(&server, "/fog/host?page=3&sort=%zz&&=").await.text,
        plain
    );
}

/// Settings of the API are kept out of lists on a FOG server; totals must not count them.
#[tokio::test]
async fn hidden_rows_count_for_nothing() {
    let server = Server::start().await;
    for name in ["a", "b", "my_api_key", "c"] {
        assert_eq!(
            server
                .call("POST", "/fog/group/create", json!({"name": name}))
                .await
                .status,
            200
        );
    }
    let page = get(&server, "/fog/group?start=1&length=5").await;
    assert_eq!(
        (names(&page, "groups"), page.header("x-total-count")),
        (vec!["b".to_owned(), "c".to_owned()], "3")
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/group/3", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        get(&server, "/fog/group?length=1")
            .await
            .header("x-total-count"),
        "3"
    );
}
