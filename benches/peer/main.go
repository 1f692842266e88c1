// A server of the usual kind that does the same job as the daemon, for comparison: it lists containers by running docker,
// keeps the list for ten seconds, and encodes it for each request.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	cachedFor = 10 * time.Second
	batch     = 100
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
	docker string
	mutex  sync.Mutex
	listed time.Time
	all    []container
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

func (s *server) current() ([]container, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if time.Since(s.listed) < cachedFor {
		return s.all, nil
	}
	all, err := s.list()
	if err == nil {
		s.all, s.listed = all, time.Now()
	}
	return all, err
}

func (s *server) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	all, err := s.current()
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
	panic(http.Serve(listener, &server{docker: os.Args[1]}))
}
