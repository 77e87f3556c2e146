//! Starting a controller: what a wrong setting must not cost, and what agents are told.

use foghorn_controller::{Config, Controller};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_survive_a_first_start_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::local(folder.path());
    config.rest.listen = busy.local_addr().unwrap();
    assert!(
        Controller::start(config).await.is_err(),
        "two listeners shared a port"
    );

    // What the failed start had opened is let go of by its tasks, a moment after it returned.
    let controller = loop {
        match Controller::start(Config::local(folder.path())).await {
            Ok(controller) => break controller,
            Err(error) => {
                assert!(
                    std::error::Error::source(&error).is_some()
                        || error.to_string().contains("use"),
                    "{error}"
                )
            }
        }
        tokio::task::yield_now().await;
    };
    assert!(
        controller.first_run().is_some(),
        "the failed start has used up the credentials"
    );
    controller.shutdown().await;
    let again = Controller::start(Config::local(folder.path()))
        .await
        .unwrap();
    assert!(again.first_run().is_none(), "credentials were made twice");
    again.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_told_an_address_that_they_can_reach() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::local(folder.path());
    config.link.listen = "0.0.0.0:0".parse().unwrap();
    config.rest.names = vec!["images.example.org".to_owned()];
    let controller = Controller::start(config).await.unwrap();
    assert!(
        controller.link_address().starts_with("images.example.org:"),
        "{}",
        controller.link_address()
    );
    controller.shutdown().await;
}
