//! Byte streams that break HTTP/2 at every level: the preface, the frames, the headers, the limits.

use harness::random::Random;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types of RFC 9113.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Streams opened and reset by one case; far above any server's patience.
const RESETS: u32 = 400;

/// The bytes of one connection that a server must survive.
pub fn connection(random: &mut Random) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    match random.below(14) {
        0 => return noise(random, 2000),
        1 => {
            let keep = random.below(PREFACE.len() as u64) as usize;
            bytes.truncate(keep);
            bytes.extend(noise(random, 100));
        }
        2 => bytes.extend(noise(random, 4000)),
        // A frame said to be longer than any allowed.
        3 => header(&mut bytes, 0x00ff_ffff, DATA, 0, 1),
        // A frame cut in the middle.
        4 => {
            header(&mut bytes, 1000, HEADERS, END_HEADERS, 1);
            bytes.extend(noise(random, 200));
        }
        5 => {
            let stream = random.bits() as u32;
            frame(
                &mut bytes,
                random.bits() as u8,
                random.bits() as u8,
                stream,
                &noise(random, 64),
            );
        }
        // A message that promises four gigabytes.
        6 => message(&mut bytes, 0, u32::MAX, &noise(random, 50)),
        // A message whose compression nobody announced, and one with an unknown flag.
        7 => message(&mut bytes, 1, 20, &noise(random, 20)),
        8 => message(&mut bytes, random.bits() as u8, 5, &noise(random, 300)),
        9 => rapid_reset(&mut bytes),
        // Header blocks without an end.
        10 => endless_headers(&mut bytes),
        11 => {
            for _ in 0..50 {
                frame(
                    &mut bytes,
                    WINDOW_UPDATE,
                    0,
                    0,
                    &0x7fff_ffffu32.to_be_bytes(),
                );
            }
        }
        12 => {
            let value = (random.bits() as u32).to_be_bytes();
            let setting = [
                0,
                random.below(7) as u8,
                value[0],
                value[1],
                value[2],
                value[3],
            ];
            frame(&mut bytes, SETTINGS, 0, 0, &setting);
            frame(&mut bytes, PING, 0, 0, &noise(random, 8));
        }
        // Data for a stream that nobody opened.
        _ => frame(&mut bytes, DATA, END_STREAM, 7, &noise(random, 100)),
    }
    bytes
}

fn noise(random: &mut Random, length_max: u64) -> Vec<u8> {
    let length = random.below(length_max) as usize;
    random.bytes(length)
}

fn header(out: &mut Vec<u8>, length: u32, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    header(out, payload.len() as u32, kind, flags, stream);
    out.extend_from_slice(payload);
}

/// A field of a header block, as a literal that is not indexed.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0);
    for text in [name, value] {
        // Lengths from 127 on need a second byte; nothing here is that long.
        out.push(text.len().min(126) as u8);
        out.extend_from_slice(&text.as_bytes()[..text.len().min(126)]);
    }
}

fn request_headers(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    field(&mut block, ":method", "POST");
    field(&mut block, ":scheme", "http");
    field(&mut block, ":authority", "test");
    field(&mut block, ":path", path);
    field(&mut block, "content-type", "application/grpc");
    field(&mut block, "te", "trailers");
    block
}

/// A put whose message begins with any flag and any promised length.
fn message(out: &mut Vec<u8>, flag: u8, promised: u32, body: &[u8]) {
    frame(
        out,
        HEADERS,
        END_HEADERS,
        1,
        &request_headers("/etcdserverpb.KV/Put"),
    );
    let mut payload = vec![flag];
    payload.extend_from_slice(&promised.to_be_bytes());
    payload.extend_from_slice(body);
    frame(out, DATA, END_STREAM, 1, &payload);
}

fn rapid_reset(out: &mut Vec<u8>) {
    let block = request_headers("/etcdserverpb.KV/Range");
    for number in 0..RESETS {
        let stream = 2 * number + 1;
        frame(out, HEADERS, END_HEADERS, stream, &block);
        frame(out, RST_STREAM, 0, stream, &8u32.to_be_bytes());
    }
}

fn endless_headers(out: &mut Vec<u8>) {
    frame(
        out,
        HEADERS,
        0,
        1,
        &request_headers("/etcdserverpb.KV/Range"),
    );
    let mut block = Vec::new();
    for number in 0..100 {
        field(&mut block, &format!("x-{number}"), &"v".repeat(100));
    }
    for _ in 0..20 {
        frame(out, CONTINUATION, 0, 1, &block);
    }
}
