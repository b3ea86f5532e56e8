import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Threads under garbage collection; null pointers and safepoints by SIGSEGV; a deep stack; a child. */
public class Threads {
    static class Node { int value; }

    static int read(Node node) { return node.value; }

    static int deeper(int depth) { return deeper(depth + 1) + 1; }

    static long allocate(int seed) {
        Map<Integer, byte[]> kept = new HashMap<>();
        long sum = 0;
        for (int i = 0; i < 100_000; i++) {
            kept.put(i % 1000, new byte[200 + i % 7]);
            sum += kept.get(i % 1000).length + seed;
        }
        return sum;
    }

    public static void main(String[] args) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Long>> sums = new ArrayList<>();
        for (int seed = 0; seed < 4; seed++) {
            final int own = seed;
            sums.add(pool.submit(() -> allocate(own)));
        }
        // Compiled loops without calls: they stop for collections only by a fault on the polling page.
        System.gc();
        for (Future<Long> sum : sums) System.out.println(sum.get());
        pool.shutdown();
        Node node = new Node();
        node.value = 1;
        int nulls = 0;
        long values = 0;
        for (int i = 0; i < 200_000; i++) {
            try {
                values += read(i % 100 == 0 ? null : node);
            } catch (NullPointerException e) {
                nulls++;
            }
        }
        System.out.println(nulls + " " + values);
        try {
            deeper(0);
        } catch (StackOverflowError e) {
            System.out.println("too deep");
        }
        try {
            System.out.println(1 / (nulls - 2000));
        } catch (ArithmeticException e) {
            System.out.println(e.getMessage());
        }
        Process child = new ProcessBuilder("echo", "child").inheritIO().start();
        System.out.println(child.waitFor());
        System.exit(3);
    }
}
