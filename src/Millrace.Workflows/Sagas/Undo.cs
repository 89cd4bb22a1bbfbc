namespace Millrace;

/// <summary>What a step can give as its undo when it has none.</summary>
public static class Undo
{
    /// <summary>Declines an undo: nothing is sent for this step when its saga fails.</summary>
    public static object None { get; } = new NoUndo();

    private sealed record NoUndo;
}
