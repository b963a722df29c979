//! Power failures: images of the disk taken at random instants under load, and a cut of the disk's
//! power, after which everything acknowledged before must be served again.
//!
//! `POWER_FAIL_IMAGES` sets the number of images (the acceptance run takes 50). Needs root and loop
//! devices; elsewhere the tests say why they are skipped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::disk::{self, Disk};
use harness::load::{Acknowledged, Load, Plan, Record};
use harness::process::Signal;
use harness::random::{Random, count_from};
use harness::{Kind, Options, Server, binary, client, history};
use tempfile::TempDir;
use tonic::Code;

/// A few images show that the test works.
const IMAGES_DEFAULT: u64 = 4;

/// Images of one run of the server: few enough that its disk stays small, so that copies stay quick.
const IMAGES_PER_RUN: u64 = 10;

const DEADLINE: Duration = Duration::from_secs(60);

/// An image of the disk with the writes acknowledged before it was taken.
struct Image {
    file: std::path::PathBuf,
    acknowledged: Vec<Acknowledged>,
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_the_disk_hold_all_that_was_acknowledged() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let mut random = Random::new(Random::seed_from("POWER_FAIL_SEED"));
    let wanted = count_from("POWER_FAIL_IMAGES", IMAGES_DEFAULT);
    let (mut done, mut acknowledged) = (0, 0);
    while done < wanted {
        let folder = TempDir::new_in(binary::scratch()?)?;
        let count = IMAGES_PER_RUN.min(wanted - done);
        let (images, base, sent) = photograph(folder.path(), count, &mut random).await?;
        for image in images {
            let disk = Disk::mount(image.file.clone(), folder.path().join("copy"))?;
            let found = judge(&disk, base, &image.acknowledged, &sent).await;
            disk.unmount()?;
            println!("image {done}: {:?}", found?);
            acknowledged += image.acknowledged.len();
            std::fs::remove_file(&image.file)?;
            done += 1;
        }
    }
    println!("{done} images, {acknowledged} acknowledged writes, none lost");
    Ok(())
}

/// Runs a server under load on a disk of its own and copies the disk at random instants.
async fn photograph(
    folder: &std::path::Path,
    count: u64,
    random: &mut Random,
) -> Result<(Vec<Image>, i64, Record)> {
    let disk = Disk::format(folder)?;
    let mut server = start_on(&disk)?;
    let base = client::revision(&mut client::kv(&server.url()).await?).await?;
    let load = Load::start(&plan(&server)).await?;
    let mut images = Vec::new();
    let mut instants = 0;
    while (images.len() as u64) < count {
        instants += 1;
        ensure!(
            instants <= 5 * count,
            "the disk never holds still for a copy"
        );
        let next = load.acknowledged() + 50 + random.below(1500);
        if let Err(error) = load.reached(next, DEADLINE).await {
            paused_too_long(&load, &images).with_context(|| format!("{error:#}"))?;
            break;
        }
        // What is known before the pause was promised before the image.
        let acknowledged = load.so_far().acknowledged;
        let file = folder.join(format!("image{instants}.img"));
        server.process().signal(Signal::Pause)?;
        let copied = disk.image_to(&file);
        server.process().signal(Signal::Resume)?;
        if copied? {
            images.push(Image { file, acknowledged });
        }
    }
    let sent = load.finish(DEADLINE).await?;
    server.kill()?;
    drop(server);
    disk.unmount()?;
    Ok((images, base, sent))
}

/// On a busy machine a copy may outlast the deadline of the requests that wait behind the pause. The
/// images taken until then are good; anything but such a timeout is a failure.
fn paused_too_long(load: &Load, images: &[Image]) -> Result<()> {
    let timeout = |status: &tonic::Status| {
        status.code() == Code::DeadlineExceeded || status.message().contains("timed out")
    };
    let ends = load.so_far().unanswered;
    ensure!(
        !ends.is_empty() && !images.is_empty(),
        "no image and no end: {ends:?}"
    );
    let other = ends.iter().find(|end| !timeout(&end.status));
    ensure!(other.is_none(), "a write ended with {other:?}");
    println!("a pause outlasted the deadline of a request: going on with a fresh server");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_of_the_power_loses_nothing_and_stops_the_server() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let folder = TempDir::new_in(binary::scratch()?)?;
    let disk = Disk::format(folder.path())?;
    let mut server = start_on(&disk)?;
    let base = client::revision(&mut client::kv(&server.url()).await?).await?;
    let load = Load::start(&plan(&server)).await?;
    load.reached(3000, DEADLINE).await?;
    if !disk.cut_power()? {
        println!("skipped: python3 is not installed, nothing here can cut the power of a disk");
        return Ok(());
    }
    let begin = Instant::now();
    if server.kind() == Kind::Center {
        // Retrying a failed sync would promise what the disk has dropped.
        let status = server.process().wait(DEADLINE)?;
        ensure!(!status.success(), "{status} on a dead disk");
        let printed = server.process().printed();
        ensure!(!printed.contains("panicked"), "{printed}");
        println!(
            "the server ended {:?} after its disk: {status}",
            begin.elapsed()
        );
    }
    server.kill()?;
    drop(server);
    let record = load.ended(DEADLINE).await?;
    let disk = disk.remount()?;
    let verdict = judge(&disk, base, &record.acknowledged, &record).await?;
    println!("{verdict:?}");
    disk.unmount()
}

fn skipped() -> bool {
    let reason = disk::unavailable();
    if let Some(reason) = &reason {
        println!("skipped: {reason}");
    }
    reason.is_some()
}

fn plan(server: &Server) -> Plan {
    Plan {
        writers: 32,
        connections: 4,
        ..Plan::standard(&server.url(), "power")
    }
}

fn start_on(disk: &Disk) -> Result<Server> {
    let folder = disk.path().join("node");
    std::fs::create_dir_all(&folder)?;
    Server::start(
        Kind::subject(),
        Options {
            folder: Some(folder),
            ..Options::default()
        },
    )
}

/// Serves from a disk after its crash and compares with what was promised before.
async fn judge(
    disk: &Disk,
    base: i64,
    acknowledged: &[Acknowledged],
    sent: &Record,
) -> Result<history::Verdict> {
    let mut server = start_on(disk)?;
    let verdict = history::verify(&server.url(), "power", base, acknowledged, sent).await;
    server.kill()?;
    verdict
}
