//! A node of the discv5 crate as a peer for the tests. It takes commands as JSON lines on stdin and reports events as
//! JSON lines on stdout; README.md lists both.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use discv5::{ConfigBuilder, Discv5, Enr, Event, IpMode, ListenConfig, NodeContact, TalkRequest};
use enr::{CombinedKey, NodeId};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// How often the table is looked at for a node that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

/// Writes one event.
fn emit(event: &Value) {
    let mut line = event.to_string();
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    // A test that is over no longer reads.
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}

fn node_hex(id: &NodeId) -> String {
    hex::encode(id.raw())
}

/// What the discv5 crate fails with does not always implement Error.
fn failure(error: impl std::fmt::Debug) -> Failure {
    format!("{error:?}").into()
}

/// A command's fields.
struct Command(Value);

impl Command {
    fn name(&self) -> &str {
        self.0["cmd"].as_str().unwrap_or_default()
    }

    fn text(&self, field: &str) -> Outcome<&str> {
        self.0[field].as_str().ok_or_else(|| format!("no {field}").into())
    }

    fn record(&self) -> Outcome<Enr> {
        self.text("record")?.parse().map_err(failure)
    }

    fn bytes(&self, field: &str) -> Outcome<Vec<u8>> {
        Ok(hex::decode(self.text(field)?)?)
    }

    fn node_id(&self) -> Outcome<NodeId> {
        NodeId::parse(&self.bytes("id")?).map_err(failure)
    }

    fn distances(&self) -> Outcome<Vec<u64>> {
        let items = self.0["distances"].as_array().ok_or("no distances")?;
        items.iter().map(|item| item.as_u64().ok_or_else(|| "bad distance".into())).collect()
    }
}

fn contact(record: Enr) -> Outcome<NodeContact> {
    NodeContact::try_from_enr(record, IpMode::Ip4).map_err(|_| "record without an IPv4 endpoint".into())
}

fn texts(records: &[Enr]) -> Vec<String> {
    records.iter().map(Enr::to_base64).collect()
}

/// The record of a node in the table, or our own, with the highest number; only of a connected node if `live`.
fn known(node: &Discv5, id: &NodeId, live: bool) -> Option<Enr> {
    let own = node.local_enr();
    if own.node_id() == *id {
        return Some(own);
    }
    let mut entries = node.table_entries().into_iter();
    entries.find(|(each, _, status)| each == id && (!live || status.is_connected())).map(|(_, record, _)| record)
}

/// Returns once the table has a node, with a record of at least this number.
async fn wait_for(node: &Discv5, id: NodeId, seq: u64, live: bool) -> Enr {
    loop {
        if let Some(record) = known(node, &id, live)
            && record.seq() >= seq
        {
            return record;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Does what a command says; the fields of the event that answers it.
async fn run(node: &Discv5, command: &Command) -> Outcome<Value> {
    Ok(match command.name() {
        "ping" => {
            let pong = node.send_ping(command.record()?).await.map_err(failure)?;
            json!({"seq": pong.enr_seq, "ip": pong.ip.to_string(), "port": pong.port})
        }
        "find" => {
            let asked = node.find_node_designated_peer(command.record()?, command.distances()?);
            json!({"records": texts(&asked.await.map_err(failure)?)})
        }
        "lookup" => json!({"records": texts(&node.find_node(command.node_id()?).await.map_err(failure)?)}),
        "talk" => {
            let (protocol, message) = (command.text("protocol")?.into(), command.bytes("message")?);
            let answer = node.talk_req(contact(command.record()?)?, protocol, message).await.map_err(failure)?;
            json!({"message": hex::encode(answer)})
        }
        "set" => {
            node.enr_insert(command.text("key")?, &command.text("value")?).map_err(failure)?;
            json!({"record": node.local_enr().to_base64()})
        }
        "wait" => {
            let live = command.0["live"].as_bool().unwrap_or_default();
            let seq = command.0["seq"].as_u64().unwrap_or_default();
            json!({"record": wait_for(node, command.node_id()?, seq, live).await.to_base64()})
        }
        _ => return Err("unknown command".into()),
    })
}

/// Runs a command, and reports what came of it.
async fn answer(node: Arc<Discv5>, command: Command) {
    let mut event = run(&node, &command).await.unwrap_or_else(|error| json!({"error": error.to_string()}));
    event["event"] = command.name().into();
    event["n"] = command.0["n"].clone();
    emit(&event);
}

/// Protocol "echo" answers with what it was sent; any other is unknown, which the crate answers when the request is
/// dropped.
fn respond(request: TalkRequest) {
    emit(&json!({
        "event": "talked",
        "id": node_hex(request.node_id()),
        "protocol": String::from_utf8_lossy(request.protocol()),
        "message": hex::encode(request.body()),
    }));
    if request.protocol() == b"echo" {
        let body = request.body().to_vec();
        let _ = request.respond(body);
    }
}

async fn report(mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if let Event::TalkRequest(request) = event {
            respond(request);
        }
    }
}

/// Lines of stdin, which ends when the receiver is to end.
fn commands() -> mpsc::UnboundedReceiver<Command> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let command = Command(serde_json::from_str(&line).unwrap_or_default());
            if command.name() == "stop" || sender.send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Flags: "--name value", each at most once.
fn flags() -> Outcome<HashMap<String, String>> {
    let mut flags = HashMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let name = flag.strip_prefix("--").ok_or("not a flag")?;
        flags.insert(name.into(), arguments.next().ok_or("flag without a value")?);
    }
    Ok(flags)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut flags = flags()?;
    let listen = flags.remove("listen").unwrap_or_else(|| "127.0.0.1:0".into());
    let key = match flags.remove("key") {
        Some(text) => CombinedKey::secp256k1_from_bytes(&mut hex::decode(text)?).map_err(failure)?,
        None => CombinedKey::generate_secp256k1(),
    };
    let socket = Arc::new(UdpSocket::bind(listen).await?);
    let port = socket.local_addr()?.port();
    let advertised: SocketAddr = match flags.remove("advertise") {
        Some(text) => text.parse()?,
        None => socket.local_addr()?,
    };
    if let Some(unknown) = flags.keys().next() {
        return Err(format!("unknown flag --{unknown}").into());
    }

    // Like go-ethereum's, so that the record of a node that was restarted is newer than the one before.
    let seq = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let record = Enr::builder().seq(seq).ip(advertised.ip()).udp4(advertised.port()).build(&key).map_err(failure)?;
    let config = ConfigBuilder::new(ListenConfig::FromSockets { ipv4: Some(socket), ipv6: None }).build();
    let mut node = Discv5::new(record.clone(), key, config)?;
    node.start().await.map_err(failure)?;
    tokio::spawn(report(node.event_stream().await.map_err(failure)?));
    let node = Arc::new(node);
    emit(&json!({
        "event": "ready", "id": node_hex(&record.node_id()), "record": record.to_base64(), "port": port,
    }));

    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        tokio::spawn(answer(node.clone(), command));
    }
    emit(&json!({"event": "stopped"}));
    Ok(())
}
