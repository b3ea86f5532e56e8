// Goroutines that must be preempted by signals, collections meanwhile, a fault that becomes a panic,
// and a child process.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

var sink [][]byte

// No call in the loop: only a signal stops it.
func spin(seed int) int {
	sum := 0
	for i := 0; i < 200_000_000; i++ {
		sum += i ^ seed
	}
	return sum
}

func main() {
	runtime.GOMAXPROCS(4)
	var group sync.WaitGroup
	sums := make([]int, 6)
	for i := range sums {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			sums[i] = spin(i)
		}(i)
	}
	for i := 0; i < 5; i++ {
		time.Sleep(2 * time.Millisecond)
		runtime.GC()
	}
	for i := 0; i < 2000; i++ {
		sink = append(sink, make([]byte, 10_000))
		if i%500 == 0 {
			sink = nil
		}
	}
	group.Wait()
	fmt.Println(sums)

	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-caught)

	output, err := exec.Command("sh", "-c", "echo child; exit 3").Output()
	fmt.Printf("%q %v\n", output, err)

	var nothing *int
	defer func() {
		fmt.Println(recover())
		os.Exit(4)
	}()
	*nothing = 1
}
