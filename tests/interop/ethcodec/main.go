// Command ethcodec encodes messages of eth with go-ethereum's own types.
//
// Each line of standard input is a JSON object: version, code, message (its
// fields, bytes in hex and integers as decimal text) and rlp, the encoding of
// another program. Each line of standard output has rlp, go-ethereum's encoding
// of that message; decoded, its encoding of what it read from the other
// program's; and error, "" if nothing failed. An object with transaction in place
// of these is answered with what go-ethereum says of that: hash, sender and size.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/forkid"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto/kzg4844"
	"github.com/ethereum/go-ethereum/eth/protocols/eth"
	"github.com/ethereum/go-ethereum/rlp"
)

// maxLine is the longest line that is read (bytes).
const maxLine = 64 << 20

type request struct {
	Version uint           `json:"version"`
	Code    int            `json:"code"`
	Message map[string]any `json:"message"`
	RLP     string         `json:"rlp"`

	Transaction string `json:"transaction"`
}

type answer struct {
	RLP     string `json:"rlp"`
	Decoded string `json:"decoded"`
	Error   string `json:"error"`

	Hash   string `json:"hash,omitempty"`
	Sender string `json:"sender,omitempty"`
	Size   uint64 `json:"size,omitempty"`
}

// fields reads the values of a message; the first that has another shape than is
// asked for makes it panic, which run reports.
type fields map[string]any

func unhex(value any) []byte {
	data, err := hex.DecodeString(value.(string))
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func number(value any) uint64 {
	parsed, err := strconv.ParseUint(value.(string), 10, 64)
	check(err)
	return parsed
}

func (f fields) uint(name string) uint64      { return number(f[name]) }
func (f fields) bytes(name string) []byte     { return unhex(f[name]) }
func (f fields) hash(name string) common.Hash { return common.BytesToHash(f.bytes(name)) }

func (f fields) items(name string) [][]byte {
	var items [][]byte
	for _, each := range f[name].([]any) {
		items = append(items, unhex(each))
	}
	return items
}

func (f fields) hashes(name string) []common.Hash {
	hashes := []common.Hash{}
	for _, each := range f.items(name) {
		hashes = append(hashes, common.BytesToHash(each))
	}
	return hashes
}

func (f fields) mask(name string) (mask types.CustodyBitmap) {
	copy(mask[:], f.bytes(name))
	return mask
}

// status68 is the Status of eth/68, which go-ethereum speaks no more.
type status68 struct {
	Version, Network uint64
	Difficulty       *big.Int
	Head, Genesis    common.Hash
	ForkID           forkid.ID
}

// receipts68 are the Receipts of eth/68, with bloom filters.
type receipts68 struct {
	RequestId uint64
	List      [][]*types.Receipt
}

// again reads an item as a T, and gives go-ethereum's encoding of it.
func again[T any](item []byte) []byte {
	value := new(T)
	check(rlp.DecodeBytes(item, value))
	encoded, err := rlp.EncodeToBytes(value)
	check(err)
	return encoded
}

// list is a list of items, each read as a T and encoded again.
func list[T, U any](items [][]byte) (made rlp.RawList[U]) {
	for _, each := range items {
		check(made.AppendRaw(again[T](each)))
	}
	return made
}

// slims are the receipts of a block, as they are sent since eth/69.
type slims []*types.SlimReceipt

// body is a block's body with all its parts read.
type body struct {
	Transactions []*types.Transaction
	Uncles       []*types.Header
	Withdrawals  *[]*types.Withdrawal `rlp:"optional"`
}

// build makes go-ethereum's packet of a message.
func build(version uint, code int, f fields) any {
	switch code {
	case eth.StatusMsg:
		return status(version, f)
	case eth.TransactionsMsg:
		return &eth.TransactionsPacket{RawList: list[types.Transaction, *types.Transaction](f.items("items"))}
	case eth.GetBlockHeadersMsg:
		return headersRequest(f)
	case eth.BlockHeadersMsg:
		return &eth.BlockHeadersPacket{RequestId: f.uint("request_id"), List: list[types.Header, *types.Header](f.items("items"))}
	case eth.GetBlockBodiesMsg:
		return &eth.GetBlockBodiesPacket{RequestId: f.uint("request_id"), GetBlockBodiesRequest: f.hashes("hashes")}
	case eth.BlockBodiesMsg:
		return &eth.BlockBodiesPacket{RequestId: f.uint("request_id"), List: list[body, eth.BlockBody](f.items("items"))}
	case eth.NewPooledTransactionHashesMsg:
		return announcement(version, f)
	case eth.GetPooledTransactionsMsg:
		return &eth.GetPooledTransactionsPacket{RequestId: f.uint("request_id"), GetPooledTransactionsRequest: f.hashes("hashes")}
	case eth.PooledTransactionsMsg:
		return &eth.PooledTransactionsPacket{RequestId: f.uint("request_id"), List: list[types.Transaction, *types.Transaction](f.items("items"))}
	case eth.GetReceiptsMsg:
		if version < eth.ETH70 {
			return &eth.GetReceiptsPacket69{RequestId: f.uint("request_id"), GetReceiptsRequest: f.hashes("hashes")}
		}
		return &eth.GetReceiptsPacket70{RequestId: f.uint("request_id"), FirstBlockReceiptIndex: f.uint("first"), GetReceiptsRequest: f.hashes("hashes")}
	case eth.ReceiptsMsg:
		return receipts(version, f)
	case eth.BlockRangeUpdateMsg:
		return &eth.BlockRangeUpdatePacket{EarliestBlock: f.uint("earliest"), LatestBlock: f.uint("latest"), LatestBlockHash: f.hash("latest_hash")}
	case eth.GetBlockAccessListsMsg:
		return &eth.GetBlockAccessListsPacket{RequestId: f.uint("request_id"), GetBlockAccessListsRequest: f.hashes("hashes")}
	case eth.BlockAccessListsMsg:
		return &eth.BlockAccessListPacket{RequestId: f.uint("request_id"), List: list[rlp.RawValue, rlp.RawValue](f.items("items"))}
	case eth.GetCellsMsg:
		return &eth.GetCellsRequestPacket{RequestId: f.uint("request_id"), Hashes: f.hashes("hashes"), Mask: f.mask("mask")}
	case eth.CellsMsg:
		return cells(f)
	}
	panic(fmt.Errorf("no message %#x", code))
}

func status(version uint, f fields) any {
	blocks := fields(f["blocks"].(map[string]any))
	fork := f["fork_id"].([]any)
	id := forkid.ID{Next: number(fork[1])}
	copy(id.Hash[:], unhex(fork[0]))
	if version < eth.ETH69 {
		difficulty, _ := new(big.Int).SetString(f["difficulty"].(string), 10)
		return &status68{f.uint("version"), f.uint("network"), difficulty, blocks.hash("latest_hash"), f.hash("genesis"), id}
	}
	return &eth.StatusPacket{
		ProtocolVersion: uint32(f.uint("version")), NetworkID: f.uint("network"), Genesis: f.hash("genesis"), ForkID: id,
		EarliestBlock: blocks.uint("earliest"), LatestBlock: blocks.uint("latest"), LatestBlockHash: blocks.hash("latest_hash"),
	}
}

func headersRequest(f fields) any {
	query := &eth.GetBlockHeadersRequest{Amount: f.uint("limit"), Skip: f.uint("skip"), Reverse: f["reverse"].(bool)}
	if start := f["start"].(string); len(start) == 2*common.HashLength {
		query.Origin.Hash = f.hash("start")
	} else {
		query.Origin.Number = f.uint("start")
	}
	return &eth.GetBlockHeadersPacket{RequestId: f.uint("request_id"), GetBlockHeadersRequest: query}
}

func announcement(version uint, f fields) any {
	sizes := []uint32{}
	for _, each := range f["sizes"].([]any) {
		sizes = append(sizes, uint32(number(each)))
	}
	if version < eth.ETH72 {
		return &eth.NewPooledTransactionHashesPacket71{Types: f.bytes("types"), Sizes: sizes, Hashes: f.hashes("hashes")}
	}
	return &eth.NewPooledTransactionHashesPacket72{Types: f.bytes("types"), Sizes: sizes, Hashes: f.hashes("hashes"), Mask: f.mask("mask")}
}

func receipts(version uint, f fields) any {
	id := f.uint("request_id")
	if version < eth.ETH69 {
		packet := &receipts68{RequestId: id, List: [][]*types.Receipt{}}
		for _, each := range f.items("blocks") {
			block := []*types.Receipt{}
			check(rlp.DecodeBytes(each, &block))
			packet.List = append(packet.List, block)
		}
		return packet
	}
	blocks := list[slims, *eth.ReceiptList](f.items("blocks"))
	if version < eth.ETH70 {
		return &eth.ReceiptsPacket69{RequestId: id, List: blocks}
	}
	return &eth.ReceiptsPacket70{RequestId: id, LastBlockIncomplete: f["incomplete"].(bool), List: blocks}
}

func cells(f fields) any {
	packet := &eth.CellsPacket{RequestId: f.uint("request_id"), Hashes: f.hashes("hashes"), Mask: f.mask("mask")}
	for _, each := range f["cells"].([]any) {
		var of rlp.RawList[kzg4844.Cell]
		for _, item := range each.([]any) {
			var cell kzg4844.Cell
			copy(cell[:], unhex(item))
			check(of.Append(cell))
		}
		check(packet.Cells.Append(of))
	}
	return packet
}

// empty is a packet of the type that a message is read into.
func empty(version uint, code int) any {
	switch {
	case code == eth.StatusMsg && version < eth.ETH69:
		return new(status68)
	case code == eth.StatusMsg:
		return new(eth.StatusPacket)
	case code == eth.TransactionsMsg:
		return new(eth.TransactionsPacket)
	case code == eth.GetBlockHeadersMsg:
		return new(eth.GetBlockHeadersPacket)
	case code == eth.BlockHeadersMsg:
		return new(eth.BlockHeadersPacket)
	case code == eth.GetBlockBodiesMsg:
		return new(eth.GetBlockBodiesPacket)
	case code == eth.BlockBodiesMsg:
		return new(eth.BlockBodiesPacket)
	case code == eth.NewPooledTransactionHashesMsg && version < eth.ETH72:
		return new(eth.NewPooledTransactionHashesPacket71)
	case code == eth.NewPooledTransactionHashesMsg:
		return new(eth.NewPooledTransactionHashesPacket72)
	case code == eth.GetPooledTransactionsMsg:
		return new(eth.GetPooledTransactionsPacket)
	case code == eth.PooledTransactionsMsg:
		return new(eth.PooledTransactionsPacket)
	case code == eth.GetReceiptsMsg && version < eth.ETH70:
		return new(eth.GetReceiptsPacket69)
	case code == eth.GetReceiptsMsg:
		return new(eth.GetReceiptsPacket70)
	case code == eth.ReceiptsMsg && version < eth.ETH69:
		return new(receipts68)
	case code == eth.ReceiptsMsg && version < eth.ETH70:
		return new(eth.ReceiptsPacket69)
	case code == eth.ReceiptsMsg:
		return new(eth.ReceiptsPacket70)
	case code == eth.BlockRangeUpdateMsg:
		return new(eth.BlockRangeUpdatePacket)
	case code == eth.GetBlockAccessListsMsg:
		return new(eth.GetBlockAccessListsPacket)
	case code == eth.BlockAccessListsMsg:
		return new(eth.BlockAccessListPacket)
	case code == eth.GetCellsMsg:
		return new(eth.GetCellsRequestPacket)
	}
	return new(eth.CellsPacket)
}

// told is what go-ethereum says of a transaction, as it stands in a message.
func told(item []byte) (given answer) {
	transaction := new(types.Transaction)
	check(rlp.DecodeBytes(item, transaction))
	signer := types.LatestSignerForChainID(transaction.ChainId())
	sender, err := types.Sender(signer, transaction)
	check(err)
	given.Hash = hex.EncodeToString(transaction.Hash().Bytes())
	given.Sender = hex.EncodeToString(sender.Bytes())
	given.Size = transaction.Size()
	return given
}

// run answers one request.
func run(asked request) (given answer) {
	defer func() {
		if reason := recover(); reason != nil {
			given.Error = fmt.Sprint(reason)
		}
	}()
	if asked.Transaction != "" {
		return told(unhex(asked.Transaction))
	}
	encoded, err := rlp.EncodeToBytes(build(asked.Version, asked.Code, asked.Message))
	check(err)
	given.RLP = hex.EncodeToString(encoded)
	packet := empty(asked.Version, asked.Code)
	check(rlp.DecodeBytes(unhex(asked.RLP), packet))
	decoded, err := rlp.EncodeToBytes(packet)
	check(err)
	given.Decoded = hex.EncodeToString(decoded)
	return given
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLine)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		var asked request
		check(json.Unmarshal(lines.Bytes(), &asked))
		check(encoder.Encode(run(asked)))
	}
	check(lines.Err())
	check(out.Flush())
}
