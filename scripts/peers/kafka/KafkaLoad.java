import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The load of scripts/bench/produce-load.ts with Kafka's own client: PORT SERVER_PID SIZE BATCH INFLIGHT SECONDS.
 * A call is BATCH records given to the producer; it is over when the last of them is acknowledged. Prints one line of JSON.
 */
public final class KafkaLoad {
  static final long WARM_UP_MS = 4_000;

  static int size, batch, inFlight, seconds;
  static KafkaProducer<byte[], byte[]> producer;
  static byte[] value;

  interface Done { void run(); }

  static void call(Done done) {
    AtomicInteger left = new AtomicInteger(batch);
    for (int i = 0; i < batch; i++) {
      producer.send(new ProducerRecord<>("bench", 0, null, value), (metadata, error) -> {
        if (error != null) {
          error.printStackTrace();
          System.exit(1);
        }
        if (left.decrementAndGet() == 0) done.run();
      });
    }
  }

  /** Microseconds of processor time. */
  static double cpuUs(String pid) throws IOException {
    String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
    String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
    return (Double.parseDouble(fields[11]) + Double.parseDouble(fields[12])) / 100 * 1e6;
  }

  /** Latencies in microseconds, at most as many as fit; more than a run has. */
  static final class Latencies {
    final int[] values = new int[4_000_000];
    final AtomicInteger count = new AtomicInteger();

    void record(long nanos) {
      int at = count.getAndIncrement();
      if (at < values.length) values[at] = (int) (nanos / 1_000);
    }

    double percentile(double percent) {
      int n = Math.min(count.get(), values.length);
      if (n == 0) return 0;
      int[] sorted = Arrays.copyOf(values, n);
      Arrays.sort(sorted);
      return sorted[Math.min(n - 1, (int) Math.ceil(n * percent / 100) - 1)];
    }
  }

  public static void main(String[] argv) throws Exception {
    String port = argv[0];
    String serverPid = argv[1];
    size = Integer.parseInt(argv[2]);
    batch = Integer.parseInt(argv[3]);
    inFlight = Integer.parseInt(argv[4]);
    seconds = Integer.parseInt(argv[5]);
    value = new byte[size];
    Arrays.fill(value, (byte) 'x');
    producer = new KafkaProducer<>(Map.of(
        "bootstrap.servers", "127.0.0.1:" + port,
        "acks", "all",
        // As large as taskd's client lets its batches grow; five in flight on a connection, as there. The fastest of what
        // was tried: a longer linger, or batches of one call each, meant more flushes.
        "batch.size", 1 << 20,
        "linger.ms", 0,
        "max.request.size", 16 << 20,
        "buffer.memory", 128L << 20),
        new ByteArraySerializer(), new ByteArraySerializer());

    Latencies latencies = new Latencies();
    AtomicLong calls = new AtomicLong();
    Semaphore room = new Semaphore(inFlight);
    boolean[] isCounting = {false};
    boolean[] isOver = {false};
    Thread loop = new Thread(() -> {
      while (!isOver[0]) {
        room.acquireUninterruptibly();
        long began = System.nanoTime();
        call(() -> {
          calls.incrementAndGet();
          if (isCounting[0]) latencies.record(System.nanoTime() - began);
          room.release();
        });
      }
    });
    loop.start();
    Thread.sleep(WARM_UP_MS);
    String self = String.valueOf(ProcessHandle.current().pid());
    double clientUs = cpuUs(self);
    double serverUs = cpuUs(serverPid);
    calls.set(0);
    isCounting[0] = true;
    long from = System.nanoTime();
    Thread.sleep(seconds * 1_000L);
    isCounting[0] = false;
    long counted = Math.max(1, calls.get());
    double perSec = calls.get() * 1e9 / (System.nanoTime() - from);
    double clientCpuUs = (cpuUs(self) - clientUs) / counted;
    double serverCpuUs = (cpuUs(serverPid) - serverUs) / counted;
    isOver[0] = true;
    loop.join();
    producer.flush();
    Latencies timed = inFlight == 1 ? latencies : byTimetable(perSec / 2);
    System.out.printf(java.util.Locale.ROOT,
        "{\"callsPerSec\":%f,\"p50us\":%f,\"p99us\":%f,\"serverCpuUs\":%f,\"clientCpuUs\":%f}%n",
        perSec, timed.percentile(50), timed.percentile(99), serverCpuUs, clientCpuUs);
    System.exit(0);
  }

  /** Calls are due in step with the milliseconds, as many in each as the rate says. */
  static Latencies byTimetable(double perSec) {
    Latencies latencies = new Latencies();
    long from = System.nanoTime();
    long sent = 0;
    for (int tick = 0; tick < seconds * 1_000; ) {
      double now = (System.nanoTime() - from) / 1e6;
      for (; tick <= now && tick < seconds * 1_000; tick++) {
        long due = from + tick * 1_000_000L;
        for (; sent < tick * perSec / 1_000; sent++) call(() -> latencies.record(System.nanoTime() - due));
      }
      LockSupport.parkNanos(1_000_000);
    }
    producer.flush();
    return latencies;
  }
}
