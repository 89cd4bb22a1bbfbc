using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests.Journal;

public class JournalReaderTests
{
    private const string Path = "/commit-journal.0";

    private readonly SimulatedStorage _storage = new(1);

    [Fact]
    public void Rounds_are_read_up_to_the_first_that_is_not_there()
    {
        Write(Round(generation: 1, sequence: 1, "ab"), Round(1, 2, "cd", "ef"), new byte[4096]);
        JournalReader reader = Read();
        Assert.Equal((1, 1, 2), (reader.Generation, reader.FirstSequence, reader.LastSequence));
        Assert.Equal([2, 2, 2], reader.Entries.Select(static entry => entry.Piece.ByteCount));
        Assert.Equal("cd", Text(reader.Entries[1]));
        Assert.Null(reader.FindRoundBehindDamage(1));
    }

    [Fact]
    public void A_torn_round_is_the_end()
    {
        byte[] torn = Round(1, 2, "cd");
        torn[80] ^= 1;
        Write(Round(1, 1, "ab"), torn);
        Assert.Equal(1, Read().LastSequence);
        Assert.Null(Read().FindRoundBehindDamage(1));
    }

    [Fact]
    public void A_round_of_an_earlier_use_of_the_file_is_the_end()
    {
        Write(Round(generation: 3, sequence: 9, "ab"), Round(1, 2, "cd"), Round(1, 3, "ef"));
        Assert.Equal(9, Read().LastSequence);
        Assert.Null(Read().FindRoundBehindDamage(3));
    }

    [Fact]
    public void A_round_that_does_not_follow_is_the_end_and_a_sign_of_damage()
    {
        Write(Round(1, 1, "ab"), Round(1, 3, "ef"), Round(1, 4, "gh"));
        Assert.Equal(1, Read().LastSequence);
        Assert.NotNull(Read().FindRoundBehindDamage(1));
    }

    [Fact]
    public void A_whole_round_behind_a_damaged_one_is_told()
    {
        byte[] damaged = Round(1, 2, "cd");
        damaged[80] ^= 1;
        Write(Round(1, 1, "ab"), damaged, Round(1, 3, "ef"));
        Assert.Equal(8192, Read().FindRoundBehindDamage(1));
    }

    [Fact]
    public void A_file_without_a_round_is_empty()
    {
        Write(new byte[8192]);
        Assert.Equal(0, Read().Generation);
        Assert.Empty(Read().Entries);
    }

    [Theory]
    [InlineData(12, int.MaxValue)]
    [InlineData(12, -1)]
    [InlineData(12, 3)]
    [InlineData(32, int.MaxValue)]
    [InlineData(32, 0)]
    [InlineData(36 + 52, int.MaxValue)]
    [InlineData(36 + 52, 0)]
    [InlineData(36 + 32, -1)]
    [InlineData(36 + 32, int.MaxValue)]
    [InlineData(36 + 16, -1)]
    [InlineData(36 + 20, -1)]
    public void Numbers_that_cannot_be_are_no_round_even_with_a_right_checksum(int position, int value)
    {
        byte[] round = Round(1, 1, "ab");
        BinaryPrimitives.WriteInt32BigEndian(round.AsSpan(position), value);
        BinaryPrimitives.WriteUInt32BigEndian(round.AsSpan(8), Crc32C.Compute(round.AsSpan(12, 36 + 56 + 2 - 12)));
        Write(round);
        Assert.Empty(Read().Entries);
        Assert.Equal(0, Read().Generation);
    }

    internal static byte[] Round(long generation, long sequence, params string[] pieces)
    {
        var bytes = new List<byte>(new byte[JournalFormat.RoundHeaderByteCount]);
        byte[] header = new byte[JournalFormat.PieceHeaderByteCount];
        foreach (string piece in pieces)
        {
            JournalFormat.WritePieceHeader(
                header, new JournaledPiece(LogHarness.OrdersId, 0, LeaderEpoch: 0, Offset.Zero, 0, Offset.Zero, new Offset(1), piece.Length));
            bytes.AddRange(header);
            bytes.AddRange(piece.Select(static character => (byte)character));
        }

        byte[] round = [.. bytes];
        JournalFormat.Seal(round, generation, sequence, pieces.Length);
        Array.Resize(ref round, JournalFormat.PaddedByteCount(round.Length));
        return round;
    }

    private void Write(params byte[][] rounds)
    {
        using IStorageFile file = _storage.Open(Path, StorageOpenMode.Create);
        file.Write([.. rounds.SelectMany(static round => round)], 0);
    }

    private JournalReader Read()
    {
        IStorageFile file = _storage.Open(Path, StorageOpenMode.Reading);
        return JournalReader.Read(file, file.Length);
    }

    private static string Text(JournalEntry entry)
    {
        byte[] bytes = new byte[entry.Piece.ByteCount];
        entry.File.Read(bytes, entry.FilePosition);
        return System.Text.Encoding.ASCII.GetString(bytes);
    }
}
