// Command networks prints what go-ethereum knows of the public networks, as
// JSON: which they are, their forks, bootnodes and lists in DNS.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/params"
)

type network struct {
	Genesis    string   `json:"genesis"`
	BlockForks []uint64 `json:"blockForks"`
	TimeForks  []uint64 `json:"timeForks"`
	Bootnodes  []string `json:"bootnodes"`
	Tree       string   `json:"tree"`
}

// forks is every fork above zero, once: those by block, and those by time.
// Each field of the configuration whose name ends so is a fork, as it is for
// go-ethereum's core/forkid.
func forks(config *params.ChainConfig) ([]uint64, []uint64) {
	blocks, times := []uint64{}, []uint64{}
	value := reflect.ValueOf(config).Elem()
	for i := range value.NumField() {
		name := value.Type().Field(i).Name
		if !strings.HasSuffix(name, "Time") && !strings.HasSuffix(name, "Block") {
			continue
		}
		switch fork := value.Field(i).Interface().(type) {
		case *big.Int:
			if fork != nil && fork.Sign() > 0 {
				blocks = append(blocks, fork.Uint64())
			}
		case *uint64:
			if fork != nil && *fork > 0 {
				times = append(times, *fork)
			}
		}
	}
	slices.Sort(blocks)
	slices.Sort(times)
	return slices.Compact(blocks), slices.Compact(times)
}

func describe(config *params.ChainConfig, genesis common.Hash, bootnodes []string) network {
	blocks, times := forks(config)
	return network{hex.EncodeToString(genesis[:]), blocks, times, bootnodes, params.KnownDNSNetwork(genesis, "all")}
}

func main() {
	names := []string{}
	for _, name := range params.NetworkNames {
		names = append(names, name)
	}
	slices.Sort(names)
	err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"names": names,
		"v5":    params.V5Bootnodes,
		"networks": map[string]network{
			"mainnet": describe(params.MainnetChainConfig, params.MainnetGenesisHash, params.MainnetBootnodes),
			"sepolia": describe(params.SepoliaChainConfig, params.SepoliaGenesisHash, params.SepoliaBootnodes),
			"hoodi":   describe(params.HoodiChainConfig, params.HoodiGenesisHash, params.HoodiBootnodes),
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
