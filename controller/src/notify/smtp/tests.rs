use tokio::task::JoinHandle;

use super::*;

/// A server that says `word` again and again until nobody listens, and the number of bytes that
/// it could say.
async fn chatterbox(word: Vec<u8>) -> (u16, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = 0;
        while let Ok(count) = stream.write(&word).await {
            said += count;
        }
        said
    });
    (port, said)
}

fn mail(port: u16, security: Security) -> Mail {
    Mail {
        to: vec!["anna@example.org".to_owned()],
        from: "foghorn@example.org".to_owned(),
        server: "127.0.0.1".to_owned(),
        port,
        security,
        user: None,
        password: None,
        ca_pem: None,
    }
}

fn letter() -> lettre::Message {
    lettre::Message::builder()
        .from("foghorn@example.org".parse().unwrap())
        .to("anna@example.org".parse().unwrap())
        .body("Hello".to_owned())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_ends_its_line_is_left() {
    for security in [Security::Plain, Security::Starttls, Security::Tls] {
        let (port, said) = chatterbox(vec![b'2'; 1 << 16]).await;
        let result = send(&mail(port, security), None, letter()).await;
        let why = result.unwrap_err().to_string();
        if security != Security::Tls {
            assert!(why.contains("more than a mail server has to say"), "{why}");
        }
        // What it said and nobody read is in the buffers of the two sockets.
        assert!(said.await.unwrap() < 64 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_moves_no_cursor() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"554 go \x1b[31maway\r\n").await.unwrap();
        stream
    });
    let result = send(&mail(port, Security::Plain), None, letter()).await;
    let why = result.unwrap_err().to_string();
    assert!(
        why.contains("away") && !why.contains(char::is_control),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_left_after_a_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let result = send(&mail(port, Security::Plain), None, letter()).await;
    let why = result.unwrap_err().to_string();
    assert!(why.ends_with("did not answer within 10 seconds"), "{why}");
}
