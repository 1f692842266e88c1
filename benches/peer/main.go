// A server of the usual kind that does the same job as the daemon, for comparison: it lists containers by running docker,
// keeps the list for ten seconds, and encodes it for each request. It also runs a command and keeps its output as a log.
//
//	GET /        the containers
//	GET /fresh   the containers, listed for this request
//	GET /run     runs the command of the second argument; the answer ends when it has ended
//	GET /follow  the log of the command that runs, until its end
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	cachedFor = 10 * time.Second
	batch     = 100
	// keptLog is the number of bytes of a log that are kept.
	keptLog = 4 << 20
	// longestLine is the number of bytes that a line of a log may have.
	longestLine = 64 << 10
)

// inspected is the part of docker's answer that is read.
type inspected struct {
	ID      string `json:"Id"`
	Name    string
	Created time.Time
	State   struct {
		Status  string
		Running bool
	}
	Config struct {
		Image  string
		Labels map[string]string
	}
	NetworkSettings struct {
		Ports map[string][]struct{ HostIP, HostPort string }
	}
	Mounts []struct{ Source, Destination string }
}

type port struct {
	Port     string `json:"port"`
	HostIP   string `json:"host_ip,omitempty"`
	HostPort string `json:"host_port,omitempty"`
}

type container struct {
	CreatedAt time.Time         `json:"created_at"`
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Image     string            `json:"image"`
	Labels    map[string]string `json:"labels"`
	Running   bool              `json:"running"`
	Ports     []port            `json:"ports"`
	Status    string            `json:"status"`
	Volumes   map[string]string `json:"volumes"`
	Dirty     bool              `json:"devcontainer_dirty"`
}

type server struct {
	docker  string
	command string
	mutex   sync.Mutex
	listed  time.Time
	all     []container
	log     *log
}

// line is a line of a log, as a follower receives it.
type line struct {
	CreatedAt time.Time `json:"created_at"`
	Level     string    `json:"level"`
	Output    string    `json:"output"`
}

// log keeps the newest lines of a command.
type log struct {
	mutex sync.Mutex
	more  *sync.Cond
	lines []line
	first int
	bytes int
	ended bool
}

func newLog() *log {
	l := &log{}
	l.more = sync.NewCond(&l.mutex)
	return l
}

func (l *log) add(text string) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lines = append(l.lines, line{time.Now().UTC(), "info", text})
	l.bytes += len(text)
	for l.bytes > keptLog {
		l.bytes -= len(l.lines[0].Output)
		l.lines = l.lines[1:]
		l.first++
	}
	l.more.Broadcast()
}

func (l *log) end() {
	l.mutex.Lock()
	l.ended = true
	l.mutex.Unlock()
	l.more.Broadcast()
}

// from returns the lines from a number on, and the number after them. It waits for the first one.
func (l *log) from(number int) ([]line, int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for !l.ended && l.first+len(l.lines) <= number {
		l.more.Wait()
	}
	skipped := number - l.first
	if skipped < 0 {
		skipped = 0
	}
	if skipped >= len(l.lines) {
		return nil, number
	}
	some := append([]line(nil), l.lines[skipped:]...)
	return some, l.first + len(l.lines)
}

func (s *server) run(w http.ResponseWriter, _ *http.Request) {
	kept := newLog()
	s.mutex.Lock()
	s.log = kept
	s.mutex.Unlock()
	defer kept.end()
	command := exec.Command("sh", "-c", s.command)
	pipe, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.(http.Flusher).Flush()
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		kept.add(lines.Text())
	}
	if err := command.Wait(); err != nil {
		fmt.Fprintln(w, err)
	}
}

func (s *server) follow(w http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	kept := s.log
	s.mutex.Unlock()
	if kept == nil {
		http.Error(w, "no log", http.StatusNotFound)
		return
	}
	encoder := json.NewEncoder(w)
	flusher, _ := w.(http.Flusher)
	for next := 0; ; {
		var some []line
		if some, next = kept.from(next); some == nil {
			return
		}
		for _, one := range some {
			if encoder.Encode(one) != nil {
				return
			}
		}
		flusher.Flush()
	}
}

func (s *server) list() ([]container, error) {
	ids, err := exec.Command(s.docker, "ps", "--all", "--quiet", "--no-trunc").Output()
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(ids))
	all := make([]container, 0, len(words))
	for begin := 0; begin < len(words); begin += batch {
		end := min(begin+batch, len(words))
		answer, err := exec.Command(s.docker, append([]string{"inspect"}, words[begin:end]...)...).Output()
		if err != nil {
			return nil, err
		}
		var found []inspected
		if err := json.Unmarshal(answer, &found); err != nil {
			return nil, err
		}
		for _, one := range found {
			all = append(all, convert(one))
		}
	}
	return all, nil
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func convert(from inspected) container {
	to := container{
		CreatedAt: from.Created,
		ID:        from.ID,
		Name:      strings.TrimPrefix(from.Name, "/"),
		Image:     from.Config.Image,
		Labels:    from.Config.Labels,
		Running:   from.State.Running,
		Status:    from.State.Status,
		Volumes:   map[string]string{},
		Ports:     []port{},
	}
	for name, bindings := range from.NetworkSettings.Ports {
		for _, one := range bindings {
			to.Ports = append(to.Ports, port{name, one.HostIP, one.HostPort})
		}
	}
	for _, mount := range from.Mounts {
		to.Volumes[mount.Source] = mount.Destination
	}
	if config, ok := from.Config.Labels["devcontainer.config_file"]; ok {
		if info, err := os.Stat(config); err == nil {
			to.Dirty = info.ModTime().After(from.Created)
		}
	}
	return to
}

func (s *server) current(fresh bool) ([]container, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !fresh && time.Since(s.listed) < cachedFor {
		return s.all, nil
	}
	all, err := s.list()
	if err == nil {
		s.all, s.listed = all, time.Now()
	}
	return all, err
}

func (s *server) containers(w http.ResponseWriter, r *http.Request) {
	all, err := s.current(r.URL.Path == "/fresh")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(map[string]any{"containers": all})
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	s := &server{docker: os.Args[1], command: os.Args[2]}
	http.HandleFunc("/", s.containers)
	http.HandleFunc("/run", s.run)
	http.HandleFunc("/follow", s.follow)
	panic(http.Serve(listener, nil))
}
