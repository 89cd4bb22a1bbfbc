namespace Millrace.Log;

/// <summary>A half of the commit journal as text: the pieces of its whole rounds, in their order.</summary>
internal static class JournalText
{
    public static IEnumerable<string> Describe(IStorage storage, string path)
    {
        using IStorageFile file = storage.Open(path, StorageOpenMode.Reading);
        var reader = JournalReader.Read(file, file.Length);
        if (reader.Generation == 0)
        {
            return ["No whole round is at the beginning of the file."];
        }

        return
        [
            $"generation: {reader.Generation} rounds: {reader.FirstSequence} to {reader.LastSequence}",
            .. reader.Entries.Select(static entry => Describe(entry)),
        ];
    }

    private static string Describe(in JournalEntry entry)
    {
        JournaledPiece piece = entry.Piece;
        return $"| topicId: {TopicIds.ToText(piece.TopicId)} partition: {piece.Partition} leaderEpoch: {piece.LeaderEpoch} baseOffset: {piece.BaseOffset} "
            + $"lastOffset: {piece.EndOffset.Value - 1} segment: {FileNames.Segment(piece.SegmentBaseOffset, FileNames.LogSuffix)} position: {piece.Position} size: {piece.ByteCount}";
    }
}
