package deploytest

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

// secrets are the values that docker-compose.yml requires.
var secrets = map[string]string{
	"POSTGRES_PASSWORD":       "p@ss/word: 3f9c",
	"HOUSECALL_TOKEN_SECRETS": "5d1f0a97c3b84e62d1f0a97c3b84e625d1f0a97c3b84e62d1f0a97c3b84e62",
}

// loadCompose reads docker-compose.yml as `docker compose` does, in an environment.
func loadCompose(t testing.TB, environment map[string]string) (*types.Project, error) {
	t.Helper()
	return loadComposeIn(t, repository(t), environment)
}

// loadComposeIn reads the file as if it were in another folder, which has its own .env.
func loadComposeIn(t testing.TB, dir string, environment map[string]string) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: repository(t, "docker-compose.yml")}},
		Environment: maps.Clone(environment), // the loader changes it
	})
}

func compose(t testing.TB) *types.Project {
	t.Helper()
	project, err := loadCompose(t, secrets)
	require.NoError(t, err)
	return project
}

// instances are the services that run `housecall serve`, by name.
func instances(project *types.Project) map[string]types.ServiceConfig {
	out := map[string]types.ServiceConfig{}
	for name, s := range project.Services {
		if s.Build != nil && len(s.Command) == 0 { // the image's own command, serve
			out[name] = s
		}
	}
	return out
}

// environment returns the environment of a service's process.
func environment(s types.ServiceConfig) map[string]string {
	out := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			out[name] = *value
		}
	}
	return out
}

func TestCompose_MissingSecret(t *testing.T) {
	t.Parallel()
	for name := range secrets {
		for what, value := range map[string]*string{"unset": nil, "empty": new(string)} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				rest := maps.Clone(secrets)
				delete(rest, name)
				if value != nil {
					rest[name] = *value
				}
				_, err := loadCompose(t, rest)
				require.ErrorContains(t, err, name)
				require.ErrorContains(t, err, "The first lines of docker-compose.yml show how to make it once")
			})
		}
	}
	top, _, _ := strings.Cut(read(t, "docker-compose.yml"), "\nname:")
	for name := range secrets {
		require.Contains(t, top, name+"=%s", "and so they do")
	}
}

func TestCompose_Instances(t *testing.T) {
	t.Parallel()
	project := compose(t)
	apps := instances(project)
	require.GreaterOrEqual(t, len(apps), 2)
	for name, s := range apps {
		cfg, err := config.From(environment(s))
		require.NoError(t, err, "%s: serve takes this environment", name)
		require.NotNil(t, s.StopGracePeriod, name)
		require.Greater(t, time.Duration(*s.StopGracePeriod), cfg.ShutdownTimeout, "%s: time for a graceful stop", name)
		require.Equal(t, types.ServiceConditionCompletedSuccessfully, s.DependsOn["migrate"].Condition, name)
		require.Equal(t, types.ServiceConditionHealthy, s.DependsOn["postgres"].Condition, name)
		require.Contains(t, s.DependsOn, "redis", name)
		require.Equal(t, "deploy/Dockerfile", s.Build.Dockerfile, name)
		require.Equal(t, secrets["POSTGRES_PASSWORD"], environment(s)["PGPASSWORD"], name)
		require.Equal(t, []string{project.Services["balancer"].Networks["edge"].Ipv4Address}, cfg.TrustedProxies, name)
	}
	migrate := project.Services["migrate"]
	require.Equal(t, types.ShellCommand{"migrate", "up"}, migrate.Command)
	require.Equal(t, "no", migrate.Restart)
	require.Equal(t, types.ServiceConditionHealthy, migrate.DependsOn["postgres"].Condition)
}

// A complete copy of .env.example as .env must not lead an instance away from the compose file's servers.
func TestCompose_FurtherSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	example := config.Example() + "\nHOUSECALL_CLINIC_ZONE=Europe/Berlin\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte(example), 0o600))
	project, err := loadComposeIn(t, dir, secrets)
	require.NoError(t, err)
	plain := instances(compose(t))
	for name, s := range instances(project) {
		got, err := config.From(environment(s))
		require.NoError(t, err, name)
		require.Equal(t, "Europe/Berlin", got.ClinicZone.String())
		got.ClinicZone = config.Default().ClinicZone
		want, err := config.From(environment(plain[name]))
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
}

func TestCompose_BalancerKnowsInstances(t *testing.T) {
	t.Parallel()
	project := compose(t)
	var want []string
	for _, s := range instances(project) {
		cfg, err := config.From(environment(s))
		require.NoError(t, err)
		want = append(want, s.Networks["edge"].Ipv4Address+cfg.Addr)
	}
	var got []string
	for _, m := range serverLine.FindAllStringSubmatch(read(t, "deploy", "nginx", "upstream.conf"), -1) {
		got = append(got, m[1])
	}
	require.ElementsMatch(t, want, got, "deploy/nginx/upstream.conf lists the instances of docker-compose.yml")

	subnet, err := netip.ParsePrefix(project.Networks["edge"].Ipam.Config[0].Subnet)
	require.NoError(t, err)
	seen := map[string]bool{}
	for name, s := range project.Services {
		if on := s.Networks["edge"]; on != nil {
			address, err := netip.ParseAddr(on.Ipv4Address)
			require.NoError(t, err, name)
			require.True(t, subnet.Contains(address), name)
			require.False(t, seen[on.Ipv4Address], "%s has an address of its own", name)
			seen[on.Ipv4Address] = true
		}
	}
}

// serverLine matches an instance in upstream.conf that is not commented out.
var serverLine = regexp.MustCompile(`(?m)^\s*server\s+(\S+)\s+max_fails=1 fail_timeout=2s;`)

func TestCompose_EveryService(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, s := range project.Services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.False(t, s.Privileged)
			require.Empty(t, s.CapAdd)
			require.Contains(t, s.SecurityOpt, "no-new-privileges:true")
			require.Empty(t, s.NetworkMode)
			require.Empty(t, s.Pid)
			require.Equal(t, "json-file", s.Logging.Driver)
			require.NotEmpty(t, s.Logging.Options["max-size"], "logs are rotated")
			if name != "migrate" {
				require.Equal(t, types.RestartPolicyUnlessStopped, s.Restart)
				require.NotNil(t, s.HealthCheck)
				require.False(t, s.HealthCheck.Disable)
				require.NotEmpty(t, s.HealthCheck.Test)
			}
			if s.Build != nil || name == "balancer" {
				require.True(t, s.ReadOnly)
				require.Contains(t, s.CapDrop, "ALL")
			}
			if name == "balancer" {
				require.Len(t, s.Ports, 1)
				require.Equal(t, "8080", s.Ports[0].Published)
			} else {
				require.Empty(t, s.Ports, "only the balancer can be reached from outside")
			}
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeBind {
					_, err := os.Stat(v.Source)
					require.NoError(t, err, "mounted files are in the repository")
					require.True(t, strings.HasPrefix(v.Source, repository(t, "deploy")))
					require.True(t, v.ReadOnly)
				} else {
					require.Contains(t, project.Volumes, v.Source)
				}
			}
		})
	}
}

func TestCompose_Data(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, least := range map[string]int{"postgres": 15, "redis": 7} {
		s := project.Services[name]
		version := regexp.MustCompile(`^` + name + `:(\d+)`).FindStringSubmatch(s.Image)
		require.NotNil(t, version, s.Image)
		major, err := strconv.Atoi(version[1])
		require.NoError(t, err)
		require.GreaterOrEqual(t, major, least, name)
		require.Equal(t, []string{"data"}, slices.Collect(maps.Keys(s.Networks)), name)
	}
	require.True(t, project.Networks["data"].Internal)
	volumes := project.Services["postgres"].Volumes
	require.Len(t, volumes, 1)
	require.Equal(t, types.VolumeTypeVolume, volumes[0].Type)
	require.Equal(t, "/var/lib/postgresql/data", volumes[0].Target, "where this image keeps its data")
}

// The balancer must not be stricter or quicker than the instances behind it: otherwise clients would get its answer,
// not theirs.
func TestBalancer_LimitsFitInstances(t *testing.T) {
	t.Parallel()
	conf := read(t, "deploy", "nginx", "nginx.conf")
	number := func(pattern string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(conf)
		require.NotNil(t, m, pattern)
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		return n
	}
	defaults := config.Default()
	require.Greater(t, number(`client_max_body_size (\d+)m;`)<<20, defaults.BodyLimit)
	require.Greater(t, time.Duration(number(`proxy_read_timeout (\d+)s;`))*time.Second, defaults.RequestTimeout)
	const heartbeat = 40 * time.Second // without a sign of life, an instance closes a socket by itself
	sockets := time.Duration(number(`location /ws/ {[^}]*proxy_read_timeout (\d+)s;`)) * time.Second
	require.Greater(t, sockets, heartbeat)

	balancer := compose(t).Services["balancer"]
	require.Greater(t, balancer.Ulimits["nofile"].Single, number(`worker_connections (\d+);`))
	for name, s := range instances(compose(t)) {
		require.Equal(t, 65536, s.Ulimits["nofile"].Single, name)
	}
	require.NotRegexp(t, `(?m)^\s*worker_shutdown_timeout`, conf, "a reload would cut sockets")
}
